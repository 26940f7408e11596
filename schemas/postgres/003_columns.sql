-- Columns that came later: the names of the tables in meowmx_meta, and in the tables what an INSERT that does not name it
-- survives, added without rewriting a row. created_at gets its default only after it was added, so that events older
-- than it stay without a time. Each is looked for first: ALTER TABLE would take its lock even when there is nothing to do.
DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN SELECT * FROM (VALUES ('es_events', 'aggregate_type', 'text'), ('es_events', 'metadata', 'json'),
                                        ('es_events', 'append_id', 'uuid'), ('es_events', 'created_at', 'timestamptz'),
                                        ('es_aggregate_snapshot', 'position', 'bigint'),
                                        ('meowmx_meta', 'events', 'text'), ('meowmx_meta', 'aggregates', 'text'),
                                        ('meowmx_meta', 'snapshots', 'text'),
                                        ('meowmx_meta', 'subscriptions', 'text')) AS w (tab, col, type)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = wanted.tab::regclass AND attname = wanted.col
                                                  AND NOT attisdropped) THEN
            EXECUTE format('ALTER TABLE %s ADD COLUMN %I %s', wanted.tab::regclass, wanted.col, wanted.type);
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'es_events'::regclass AND attname = 'created_at'
                                              AND atthasdef) THEN
        ALTER TABLE es_events ALTER COLUMN created_at SET DEFAULT now();
    END IF;
END
$$;
