-- Both functions run with their owner's rights, so that whoever could insert before still can. Set-up puts the schema
-- before each name of a table, and the search_path has PostgreSQL's own schema alone: an operator or a function that
-- somebody makes in the tables' schema must not run with those rights.
CREATE OR REPLACE FUNCTION meowmx_fill_type() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SELECT a.aggregate_type INTO NEW.aggregate_type FROM es_aggregates a WHERE a.id = NEW.aggregate_id;
    RETURN NEW;
END
$$;

-- NOTIFY in every commit would make commits wait for each other, so it is sent only while a relay dozes. PREPARE
-- TRANSACTION is refused after a NOTIFY: two-phase writers set meowmx.notify to off.
CREATE OR REPLACE FUNCTION meowmx_wake() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (SELECT last_value FROM meowmx_doze) > extract(epoch FROM clock_timestamp()) * 1000000
       AND current_setting('meowmx.notify', true) IS DISTINCT FROM 'off' THEN
        NOTIFY meowmx;
    END IF;
    RETURN NULL;
END
$$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'es_events'::regclass AND tgname = 'meowmx_fill_type') THEN
        CREATE TRIGGER meowmx_fill_type BEFORE INSERT ON es_events
            FOR EACH ROW WHEN (NEW.aggregate_type IS NULL) EXECUTE FUNCTION meowmx_fill_type();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'es_events'::regclass AND tgname = 'meowmx_wake') THEN
        CREATE TRIGGER meowmx_wake AFTER INSERT ON es_events FOR EACH STATEMENT EXECUTE FUNCTION meowmx_wake();
    END IF;
END
$$;
