-- Roles with no more rights than their work needs, in a store that `meowmx setup` has made. May be run again: after an
-- upgrade it grants what the new version needs as well.
--
--   psql -v ON_ERROR_STOP=1 [-v writer=NAME] [-v relay=NAME] [-v operator=NAME] [-v schema=NAME] -f roles.sql URL
--
-- meowmx_writer     appends, loads, keeps snapshots: what an application needs
-- meowmx_relay      reads and keeps checkpoints: `meowmx relay`, `tail`, subscriptions with a handler
-- meowmx_operator   `meowmx status`, `load`, `tail`, `subscription ...`, `dead ...` and `delete`; appends nothing
--
-- They cannot log in; grant them to roles that can (GRANT meowmx_writer TO app). An application that has subscriptions
-- with a handler is granted both writer and relay. To be run by the owner of the tables, who may create roles.
\set QUIET on
\if :{?writer}
\else
\set writer meowmx_writer
\endif
\if :{?relay}
\else
\set relay meowmx_relay
\endif
\if :{?operator}
\else
\set operator meowmx_operator
\endif
\if :{?schema}
\else
SELECT n.nspname AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = 'meowmx_meta'::regclass \gset
\endif

BEGIN;
SELECT set_config('search_path', quote_ident(:'schema'), true) \g /dev/null
SELECT format('CREATE ROLE %I NOLOGIN', r.name)
FROM (VALUES (:'writer'), (:'relay'), (:'operator')) AS r (name)
WHERE NOT EXISTS (SELECT FROM pg_roles p WHERE p.rolname = r.name) \gexec

-- The names that the tables have in this store.
SELECT coalesce(to_jsonb(m) ->> 'events', 'es_events') AS events,
       coalesce(to_jsonb(m) ->> 'aggregates', 'es_aggregates') AS aggregates,
       coalesce(to_jsonb(m) ->> 'snapshots', 'es_aggregate_snapshot') AS snapshots,
       coalesce(to_jsonb(m) ->> 'subscriptions', 'es_event_subscriptions') AS subscriptions
FROM meowmx_meta m \gset
SELECT pg_get_serial_sequence(quote_ident(:'events'), 'id') AS sequence \gset

GRANT USAGE ON SCHEMA :"schema" TO :"writer", :"relay", :"operator";
GRANT SELECT ON meowmx_meta, :"events", :"aggregates" TO :"writer", :"relay", :"operator";
GRANT SELECT ON SEQUENCE :sequence TO :"writer", :"relay", :"operator";
GRANT EXECUTE ON FUNCTION meowmx_check_store, meowmx_load, meowmx_holders, meowmx_proven, meowmx_outwait, meowmx_read
    TO :"writer", :"relay", :"operator";

GRANT INSERT ON :"events" TO :"writer";
GRANT INSERT, UPDATE (version) ON :"aggregates" TO :"writer";
GRANT USAGE ON SEQUENCE :sequence TO :"writer", :"operator"; -- a retry of dead letters draws positions
GRANT SELECT, INSERT, UPDATE, DELETE ON :"snapshots" TO :"writer";
GRANT EXECUTE ON FUNCTION meowmx_parse_events, meowmx_appended, meowmx_append TO :"writer";

GRANT SELECT, INSERT, UPDATE ON meowmx_checkpoints, meowmx_layouts TO :"relay";
GRANT SELECT, INSERT, UPDATE, DELETE ON meowmx_relays TO :"relay";
GRANT SELECT, INSERT, UPDATE ON meowmx_dead_letters TO :"relay";
GRANT USAGE, UPDATE ON SEQUENCE meowmx_doze TO :"relay", :"operator";

GRANT SELECT, INSERT, UPDATE, DELETE ON meowmx_checkpoints, meowmx_layouts, meowmx_relays, meowmx_dead_letters
    TO :"operator";
GRANT SELECT, UPDATE (last_event_id) ON :"subscriptions" TO :"operator"; -- a lock asks for the right to change
GRANT DELETE ON :"events" TO :"operator";
GRANT DELETE, UPDATE (version) ON :"aggregates" TO :"operator";
GRANT SELECT, DELETE ON :"snapshots" TO :"operator";

-- With pg_read_all_stats `status` and the relay see how old other roles' transactions are. Who may grant it does.
SELECT format('GRANT pg_read_all_stats TO %I, %I', :'relay', :'operator')
WHERE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
   OR pg_has_role(current_user, 'pg_read_all_stats', 'MEMBER WITH ADMIN OPTION') \gexec
COMMIT;
