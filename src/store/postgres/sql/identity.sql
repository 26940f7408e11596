-- Which store this is, and what of its settings matters. On a standby pg_current_wal_lsn would fail.
SELECT m.store_id::text, m.schema_version, (SELECT system_identifier FROM pg_control_system()),
       CASE WHEN NOT pg_is_in_recovery()
            THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint ELSE 0 END,
       (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM es_events_id_seq),
       pg_backend_pid(), pg_is_in_recovery(), current_setting('fsync') = 'off',
       (SELECT reset_val = 'off' FROM pg_settings WHERE name = 'synchronous_commit'),
       pg_has_role('pg_read_all_stats', 'USAGE'), current_setting('server_encoding'),
       (SELECT q.seqcache = 1 AND q.seqincrement = 1 AND NOT q.seqcycle
        FROM pg_sequence q WHERE q.seqrelid = 'es_events_id_seq'::regclass)
FROM meowmx_meta m
