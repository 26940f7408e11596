-- Reading events in SQL, with the caller's rights; names as in 009.

-- The events of one aggregate in order, versions from_version to to_version (NULL: the last), both included.
CREATE OR REPLACE FUNCTION meowmx_load(aggregate_type text, aggregate_id AGGREGATE_ID_TYPE,
                                       from_version integer DEFAULT 0, to_version integer DEFAULT NULL,
                                       "limit" integer DEFAULT NULL)
RETURNS TABLE ("position" bigint, version integer, type text, data json, metadata json, "time" timestamptz)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.id, e.version, e.event_type::text, e.json_data, e.metadata, e.created_at
    FROM es_aggregates a
    JOIN es_events e ON e.aggregate_id = a.id
    WHERE a.id = $2 AND a.aggregate_type = $1
      AND e.version >= coalesce(from_version, 0) AND e.version <= coalesce(to_version, 2147483647)
    ORDER BY e.version
    LIMIT "limit";
END
$$;

-- The sessions, by virtual transaction, that have drawn an id and not ended: they hold the lock that nextval takes on
-- the sequence.
CREATE OR REPLACE FUNCTION meowmx_holders() RETURNS text[]
LANGUAGE plpgsql AS $$
BEGIN
    RETURN ARRAY(SELECT l.virtualtransaction
                 FROM pg_locks l
                 WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'RowExclusiveLock'
                   AND l.relation = 'es_events_id_seq'::regclass
                   AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()));
END
$$;

-- How far a relay has proven the store settled: an event that a sink has got was committed, and with it the ids below it.
-- (A checkpoint's position may lie above ids that a crash made the sequence draw again.) With its owner's rights, so that
-- those who read events need none on the checkpoints.
CREATE OR REPLACE FUNCTION meowmx_proven() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(max(c.delivered), 0) FROM meowmx_checkpoints c
$$;

-- Waits, for so many seconds at most, until these have ended, and returns those that have not. Looking takes at most a
-- twentieth of the time.
CREATE OR REPLACE FUNCTION meowmx_outwait(holders text[], seconds double precision) RETURNS text[]
LANGUAGE plpgsql AS $$
DECLARE
    pause double precision := 0.002;
    began timestamptz := clock_timestamp();
    look  timestamptz;
BEGIN
    WHILE holders <> '{}' AND clock_timestamp() < began + seconds * interval '1 second' LOOP
        PERFORM pg_sleep(pause);
        look := clock_timestamp();
        holders := ARRAY(SELECT unnest(holders) INTERSECT SELECT unnest(meowmx_holders()));
        pause := greatest(least(pause * 1.5, 0.02), 20 * extract(epoch FROM clock_timestamp() - look));
    END LOOP;
    RETURN holders;
END
$$;

-- Events behind position `after`, settled ones only: below the last one returned none can appear any more. Each
-- statement in here has a snapshot of its own, which only read committed gives it.
--   What follows `after` without a gap is settled. At a gap the highest id that can be seen is read first, then who holds
-- the sequence's lock; when those have ended, everything up to that id is settled. They are waited for only where there is nothing
-- else to return, and for a second at most: then nothing is returned.
CREATE OR REPLACE FUNCTION meowmx_read(after bigint DEFAULT 0, "limit" integer DEFAULT 1000)
RETURNS TABLE ("position" bigint, aggregate_type text, aggregate_id text, version integer, type text, data json,
               metadata json, "time" timestamptz)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    settled   bigint;
    candidate bigint;
    holders   text[] := '{}';
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'settled events can be read in isolation level read committed alone, not in %',
            current_setting('transaction_isolation')
            USING ERRCODE = '25000', DETAIL = 'A snapshot older than the proof that events are settled misses some.';
    ELSIF after IS NULL OR "limit" IS NULL OR after < 0 OR "limit" < 1 THEN
        RAISE EXCEPTION 'settled events are read behind a position from 0, with a limit from 1' USING ERRCODE = '22023';
    END IF;
    PERFORM meowmx_check_store();
    -- One's own events may still be rolled back. A transaction that has no id yet has written none.
    IF pg_current_xact_id_if_assigned() IS NOT NULL
       AND EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'relation' AND l.pid = pg_backend_pid()
                   AND l.mode = 'RowExclusiveLock' AND l.relation = 'es_events_id_seq'::regclass) THEN
        RAISE EXCEPTION 'settled events cannot be read in a transaction that has itself appended'
            USING ERRCODE = '25000', HINT = 'Commit first: what is not committed is not settled.';
    END IF;

    SELECT coalesce(max(r.id), after) INTO settled
    FROM (SELECT e.id, row_number() OVER (ORDER BY e.id) AS n
          FROM (SELECT id FROM es_events WHERE id > after ORDER BY id LIMIT "limit") e) r
    WHERE r.id = after + r.n;
    IF settled < after + "limit" THEN
        -- Not what the sequence says alone: while nextval writes its log, that is 32 too high for a moment.
        SELECT least(coalesce((SELECT max(id) FROM es_events), 0), CASE WHEN is_called THEN last_value ELSE 0 END)
        INTO candidate FROM es_events_id_seq;
    END IF;
    IF settled < candidate THEN
        holders := meowmx_holders();
        IF holders <> '{}' THEN
            settled := greatest(settled, least(candidate, meowmx_proven()));
        END IF;
        IF holders <> '{}' AND settled = after THEN
            holders := meowmx_outwait(holders, 1);
        END IF;
        IF holders = '{}' THEN
            settled := candidate;
        END IF;
    END IF;

    RETURN QUERY
    SELECT e.id,
           coalesce(e.aggregate_type, (SELECT a.aggregate_type FROM es_aggregates a WHERE a.id = e.aggregate_id))::text,
           e.aggregate_id::text, e.version, e.event_type::text, e.json_data, e.metadata, e.created_at
    FROM es_events e
    WHERE e.id > after AND e.id <= settled
    ORDER BY e.id
    LIMIT "limit";
END
$$;
