-- Whom backend $1 waits for: the one whose transaction is oldest.
SELECT a.pid, coalesce(nullif(a.application_name, ''), 'no application name'), coalesce(a.state, 'unknown state'),
       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start)::bigint, -1)
FROM unnest(pg_blocking_pids($1::int)) b (pid) LEFT JOIN pg_stat_activity a ON a.pid = b.pid
ORDER BY a.xact_start NULLS LAST LIMIT 1
