-- The transactions that have drawn an id and not ended: they hold the lock that nextval takes on the sequence. To be
-- run after, and apart from, candidate.sql. Not our own: what it has inserted it sees, and it draws nothing meanwhile.
SELECT l.virtualtransaction::text, coalesce(l.pid, 0), l.pid IS NULL,
       left(coalesce(a.application_name, p.gid, ''), 60),
       coalesce((extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) * 1000000)::bigint, -1)
FROM pg_locks l
LEFT JOIN LATERAL pg_stat_get_activity(l.pid) a ON l.pid IS NOT NULL
LEFT JOIN LATERAL (SELECT x.gid, x.prepared
                   FROM pg_locks t JOIN pg_prepared_xacts x ON x.transaction = t.transactionid
                   WHERE l.pid IS NULL AND t.pid IS NULL AND t.locktype = 'transactionid'
                     AND t.virtualtransaction = l.virtualtransaction
                   LIMIT 1) p ON true
WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'RowExclusiveLock'
  AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.relation = 'es_events_id_seq'::regclass
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
