-- What set-up must know before it begins: version, encoding, standby, the schema (that of the tables if there are any),
-- the type of their ids, settings, whether a pooler is in between, and Python meowmx's own trigger.
SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), pg_is_in_recovery(),
       coalesce((SELECT quote_ident(n.nspname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.oid = coalesce(to_regclass('es_events'), to_regclass('es_aggregates'))),
                quote_ident(current_schema())),
       (SELECT format_type(atttypid, atttypmod) FROM pg_attribute
        WHERE attrelid = to_regclass('es_aggregates') AND attname = 'id'),
       current_setting('max_prepared_transactions')::int,
       current_setting('fsync') = 'off', current_setting('synchronous_commit') = 'off',
       pg_backend_pid(),
       (SELECT tgname FROM pg_trigger
        WHERE tgrelid = to_regclass('es_events') AND tgname = 'channel_event_notify_trg' AND tgenabled <> 'D')
