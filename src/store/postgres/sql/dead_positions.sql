-- Which positions from $2 to $3 hold events that were set aside for subscription $1, and were not published
-- since.
SELECT DISTINCT d.position FROM meowmx_dead_letters d
WHERE d.subscription = $1::text AND d.position BETWEEN $2::bigint AND $3::bigint
  AND (d.retry_at IS NULL OR d.discarded_at IS NULL)
ORDER BY d.position
