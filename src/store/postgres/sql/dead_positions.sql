-- Which positions from $2 to $3 hold events that were set aside for subscription $1, where each was to be published
-- again (0: nowhere), and whether it was.
SELECT d.position, coalesce(max(d.retry_at), 0),
       min(CASE WHEN d.retry_at IS NULL OR d.discarded_at IS NULL THEN 0 ELSE 1 END)::bigint
FROM meowmx_dead_letters d
WHERE d.subscription = $1::text AND d.position BETWEEN $2::bigint AND $3::bigint
GROUP BY d.position
ORDER BY d.position
