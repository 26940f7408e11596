-- Append for writers in SQL, in the caller's transaction and with the caller's rights: whoever may do the same to the
-- tables may do it through these functions, and nobody else. Set-up puts the schema before each name of a table or a
-- function, so the caller's search_path stays as it is (setting one for the call would cost a fifth of an append), and
-- nothing of the caller's, a temporary table for one, can get in between.

-- MW003 unless this store can be written to and read in order.
CREATE OR REPLACE FUNCTION meowmx_check_store() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    complete boolean;
    ordered  boolean;
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'the server is a read-only standby' USING ERRCODE = 'MW003', HINT = 'Connect to the primary.';
    END IF;
    SELECT m.one IS NOT NULL, q.seqcache = 1 AND q.seqincrement = 1 AND NOT q.seqcycle INTO complete, ordered
    FROM pg_sequence q LEFT JOIN meowmx_meta m ON true WHERE q.seqrelid = 'es_events_id_seq'::regclass;
    IF NOT complete THEN
        RAISE EXCEPTION 'the store is not set up' USING ERRCODE = 'MW003', HINT = 'Run `meowmx setup`.';
    ELSIF NOT ordered THEN
        RAISE EXCEPTION 'the order of events needs ALTER SEQUENCE % CACHE 1 INCREMENT 1 NO CYCLE',
            'es_events_id_seq'::regclass USING ERRCODE = 'MW003';
    END IF;
END
$$;

-- Takes a JSON array of {"type": .., "data": .., "metadata": .., "time": ..} apart; data and metadata come out as they
-- stand there. PostgreSQL's operators for json decode every string they pass and refuse those that text cannot hold
-- (\u0000, half a surrogate), so where there are such escapes, backslashes are masked first, by two characters that the
-- array does not have.
CREATE OR REPLACE FUNCTION meowmx_parse_events(events json)
RETURNS TABLE (type text, data json, metadata json, "time" timestamptz)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    masked boolean := position(E'\\u' IN events::text) > 0;
    pair   text := chr(57344); -- for two backslashes; private use, so seldom there
    code   text;               -- for a backslash and "u"
    list   json := events;
    fault  record;
BEGIN
    IF masked THEN
        WHILE position(pair IN events::text) > 0 LOOP
            pair := chr(ascii(pair) + 1);
        END LOOP;
        code := chr(ascii(pair) + 1);
        WHILE position(code IN events::text) > 0 LOOP
            code := chr(ascii(code) + 1);
        END LOOP;
        list := replace(replace(events::text, E'\\\\', pair), E'\\u', code)::json;
    END IF;
    SELECT e.n, f.text INTO fault
    FROM json_array_elements(list) WITH ORDINALITY AS e (event, n)
    CROSS JOIN LATERAL (SELECT CASE
        WHEN json_typeof(e.event) <> 'object' THEN 'is no JSON object'
        WHEN (SELECT count(*) <> count(DISTINCT k) OR bool_or(k NOT IN ('type', 'data', 'metadata', 'time'))
              FROM json_object_keys(e.event) k)
            THEN 'must have "type" and "data", may have "metadata" and "time", each once, and nothing else'
        WHEN json_typeof(e.event -> 'type') IS DISTINCT FROM 'string' THEN 'has no "type" that is a text'
        WHEN e.event -> 'data' IS NULL THEN 'has no "data"'
        WHEN json_typeof(e.event -> 'time') <> 'null'
             AND e.event ->> 'time' !~ '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d([.]\d{1,6})?([Zz]|[+-]\d\d:\d\d)$'
            THEN 'has a "time" that is not as in 2026-11-23T08:09:10.123456Z'
        END) AS f (text)
    WHERE f.text IS NOT NULL ORDER BY e.n LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'event % %', fault.n, fault.text USING ERRCODE = '22023';
    END IF;
    IF masked THEN
        RETURN QUERY
        SELECT u.type #>> '{}', u.data, u.metadata, (e.event ->> 'time')::timestamptz
        FROM json_array_elements(list) WITH ORDINALITY AS e (event, n)
        CROSS JOIN LATERAL (
            SELECT replace(replace((e.event -> 'type')::text, code, E'\\u'), pair, E'\\\\')::json AS type,
                   replace(replace((e.event -> 'data')::text, code, E'\\u'), pair, E'\\\\')::json AS data,
                   replace(replace((e.event -> 'metadata')::text, code, E'\\u'), pair, E'\\\\')::json AS metadata) u
        ORDER BY e.n;
    ELSE
        RETURN QUERY
        SELECT e.event ->> 'type', e.event -> 'data', e.event -> 'metadata', (e.event ->> 'time')::timestamptz
        FROM json_array_elements(list) WITH ORDINALITY AS e (event, n) ORDER BY e.n;
    END IF;
END
$$;

-- What the token has appended to the aggregate already: behind version `expected`, or, NULL, anywhere.
CREATE OR REPLACE FUNCTION meowmx_appended(wanted_id AGGREGATE_ID_TYPE, expected integer, token uuid)
RETURNS TABLE (version integer, "position" bigint)
LANGUAGE plpgsql ROWS 10 AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT e.version, e.id
    FROM es_events e
    WHERE e.aggregate_id = wanted_id AND e.append_id = token
      AND (expected IS NULL OR e.version > expected
           AND (SELECT min(b.version) FROM es_events b
                WHERE b.aggregate_id = wanted_id AND b.append_id = token AND b.version >= expected) = expected + 1)
    ORDER BY e.version;
END
$$;

-- Appends behind version `expected` (-1: no event yet, NULL: whatever is there); returns version and position of each
-- event. MW001: the version is another. MW002: the aggregate has another type. MW003: the store is not ready. With an
-- append_id it may be repeated: what was appended under it is returned again.
CREATE OR REPLACE FUNCTION meowmx_append(aggregate_type text, aggregate_id AGGREGATE_ID_TYPE, expected integer,
                                         events json, append_id uuid DEFAULT NULL)
RETURNS TABLE (version integer, "position" bigint)
LANGUAGE plpgsql ROWS 10 AS $$
#variable_conflict use_column
DECLARE
    wanted     integer := coalesce(expected, -2);
    new_type   text := aggregate_type;
    new_id     CONSTANT es_aggregates.id%TYPE := aggregate_id;
    token      uuid := append_id;
    how_many   integer;
    types      text[];
    datas      json[];
    metadatas  json[];
    times      timestamptz[];
    known_type text;
    found_is   integer;
BEGIN
    IF json_typeof(events) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'events must be a JSON array' USING ERRCODE = '22023';
    END IF;
    how_many := json_array_length(events);
    IF how_many = 0 THEN
        RETURN;
    ELSIF coalesce(new_type, '') = '' OR coalesce(new_id::text, '') = '' THEN
        RAISE EXCEPTION 'an append needs an aggregate type and an aggregate id' USING ERRCODE = '22023';
    ELSIF expected < -1 THEN
        RAISE EXCEPTION 'expected version % cannot be', expected USING ERRCODE = '22023';
    END IF;
    PERFORM meowmx_check_store();
    SELECT array_agg(e.type), array_agg(e.data), array_agg(e.metadata), array_agg(e.time)
    INTO types, datas, metadatas, times FROM meowmx_parse_events(events) e;

    FOR turn IN 1 .. 100 LOOP
        -- A repetition to whatever is there: its first run may still be about to commit. With the aggregate's row
        -- locked, what the next statement sees of the token is all there is.
        IF expected IS NULL AND token IS NOT NULL THEN
            SELECT a.version INTO found_is FROM es_aggregates a WHERE a.id = new_id FOR NO KEY UPDATE;
            wanted := coalesce(found_is, -1);
            RETURN QUERY SELECT * FROM meowmx_appended(new_id, NULL, token);
            IF FOUND THEN
                RETURN;
            END IF;
        END IF;

        -- The version check and the inserts are one statement; the ids are drawn after the aggregate's row was locked.
        RETURN QUERY
        WITH moved AS (
            UPDATE es_aggregates SET version = version + how_many
            WHERE id = new_id AND version = wanted AND wanted >= 0 AND aggregate_type = new_type
            RETURNING id, version),
        created AS (
            INSERT INTO es_aggregates AS a (id, version, aggregate_type)
            SELECT new_id, how_many - 1, new_type WHERE wanted < 0
            ON CONFLICT (id) DO UPDATE SET version = a.version + how_many
                WHERE a.aggregate_type = excluded.aggregate_type AND (wanted = -2 OR a.version = -1)
            RETURNING id, version),
        added AS (
            INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data, aggregate_type,
                                   metadata, append_id, created_at)
            SELECT pg_current_xact_id(), o.id, o.version - how_many + e.n, e.type, e.data, new_type, e.metadata, token,
                   coalesce(e.time, now())
            FROM (SELECT id, version FROM moved UNION ALL SELECT id, version FROM created) o
            CROSS JOIN unnest(types, datas, metadatas, times) WITH ORDINALITY AS e (type, data, metadata, time, n)
            ORDER BY e.n
            RETURNING version, id)
        SELECT version, id FROM added ORDER BY version;
        IF FOUND THEN
            RETURN;
        END IF;

        -- Nothing was added: why. In a statement of its own, since the one before may have waited for the row and then
        -- still shows it as it was when it began.
        SELECT a.version, a.aggregate_type INTO found_is, known_type FROM es_aggregates a WHERE a.id = new_id;
        IF known_type <> new_type THEN
            RAISE EXCEPTION 'aggregate % is known as type %, not %', new_id, known_type, new_type
                USING ERRCODE = 'MW002', DETAIL = format('known %s, given %s', known_type, new_type);
        END IF;
        IF expected IS NOT NULL THEN
            RETURN QUERY SELECT * FROM meowmx_appended(new_id, expected, token);
            IF FOUND THEN
                RETURN;
            END IF;
        END IF;
        IF expected IS NOT NULL OR turn = 100 THEN
            RAISE EXCEPTION 'version conflict: % %: expected %, found %', new_type, new_id,
                CASE wanted WHEN -1 THEN 'no event yet' ELSE 'version ' || wanted END,
                CASE coalesce(found_is, -1) WHEN -1 THEN 'no event' ELSE 'version ' || found_is END
                USING ERRCODE = 'MW001', DETAIL = format('expected %s, found %s', wanted, coalesce(found_is, -1)),
                      HINT = 'Load again and repeat.';
        END IF;
    END LOOP;
END
$$;
