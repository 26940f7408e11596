-- Which store this is, what of its settings matters, and what its tables are called (schema 1 did not say). On a standby
-- pg_current_wal_lsn would fail.
SELECT m.store_id::text, m.schema_version, (SELECT system_identifier FROM pg_control_system()),
       CASE WHEN NOT pg_is_in_recovery()
            THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint ELSE 0 END,
       pg_backend_pid(), pg_is_in_recovery(), current_setting('fsync') = 'off',
       (SELECT reset_val = 'off' FROM pg_settings WHERE name = 'synchronous_commit'),
       pg_has_role('pg_read_all_stats', 'USAGE'), current_setting('server_encoding'),
       (SELECT q.seqcache = 1 AND q.seqincrement = 1 AND NOT q.seqcycle FROM pg_sequence q WHERE q.seqrelid = s.id),
       n.events, n.aggregates, n.snapshots, n.subscriptions, s.id::text
FROM meowmx_meta m
CROSS JOIN LATERAL (SELECT quote_ident(coalesce(to_jsonb(m) ->> 'events', 'es_events')) AS events,
                           quote_ident(coalesce(to_jsonb(m) ->> 'aggregates', 'es_aggregates')) AS aggregates,
                           quote_ident(coalesce(to_jsonb(m) ->> 'snapshots', 'es_aggregate_snapshot')) AS snapshots,
                           quote_ident(coalesce(to_jsonb(m) ->> 'subscriptions', 'es_event_subscriptions'))
                               AS subscriptions) n
CROSS JOIN LATERAL (SELECT pg_get_serial_sequence(n.events, 'id')::regclass AS id) s
