-- Whom backend $1 waits for: of those, the one whose transaction is oldest. Its pid, name, state, age in seconds (NULL
-- where it may not be seen), and whether it is a prepared transaction, which has no backend any more: that one is found
-- through what $1 waits for.
SELECT coalesce(a.pid, b.pid),
       coalesce(nullif(a.application_name, ''), p.gid, CASE WHEN b.pid > 0 THEN 'no application name' ELSE '?' END),
       coalesce(a.state, 'unknown state'),
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared))::bigint,
       b.pid = 0
FROM unnest(pg_blocking_pids($1::int)) b (pid)
LEFT JOIN pg_stat_activity a ON a.pid = b.pid
LEFT JOIN LATERAL (
    SELECT x.gid, x.prepared
    FROM pg_locks w
    JOIN pg_locks h ON h.pid IS NULL AND h.granted AND h.locktype = w.locktype AND h.database IS NOT DISTINCT FROM w.database
        AND h.relation IS NOT DISTINCT FROM w.relation AND h.virtualxid IS NOT DISTINCT FROM w.virtualxid
        AND h.transactionid IS NOT DISTINCT FROM w.transactionid
    JOIN pg_locks t ON t.pid IS NULL AND t.locktype = 'transactionid' AND t.virtualtransaction = h.virtualtransaction
    JOIN pg_prepared_xacts x ON x.transaction = t.transactionid
    WHERE b.pid = 0 AND w.pid = $1::int AND NOT w.granted
    ORDER BY x.prepared LIMIT 1) p ON true
ORDER BY coalesce(a.xact_start, p.prepared) NULLS LAST LIMIT 1
