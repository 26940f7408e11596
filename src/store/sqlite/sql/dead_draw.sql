-- The positions that retries of dead letters have are drawn: no event will get them.
UPDATE sqlite_sequence SET seq = max(seq, (SELECT coalesce(max(retry_at), 0) FROM meowmx_dead_letters))
WHERE name = 'es_events'
