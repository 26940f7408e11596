-- The first dead letter of subscription $1 whose retry stands behind position $2, at $3 at most; up to $4, what was
-- delivered, only one that is still open.
SELECT d.retry_at, d.position, d.aggregate_type, d.aggregate_id FROM meowmx_dead_letters d
WHERE d.subscription = $1::text AND d.retry_at > $2::bigint AND d.retry_at <= $3::bigint
  AND (d.retry_at > $4::bigint OR d.discarded_at IS NULL)
ORDER BY d.retry_at LIMIT 1
