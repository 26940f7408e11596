-- What set-up must know before it begins: version, encoding, standby, the schema and type of an es_aggregates that exists.
SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), pg_is_in_recovery(),
       quote_ident(current_schema()),
       (SELECT format_type(atttypid, atttypmod) FROM pg_attribute
        WHERE attrelid = to_regclass('es_aggregates') AND attname = 'id'),
       current_setting('max_prepared_transactions')::int,
       current_setting('fsync') = 'off', current_setting('synchronous_commit') = 'off'
