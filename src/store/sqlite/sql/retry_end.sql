-- The retries of ?2 (JSON) are over for subscription ?1 at the time ?3. What was published closes its dead letter; what has
-- an error leaves it open, and later ones of its aggregate as well, whose retries are off.
UPDATE meowmx_dead_letters AS d
SET discarded_at = CASE WHEN l.error IS NULL THEN ?3 END,
    retry_at = CASE WHEN l.error IS NULL THEN d.retry_at END,
    error = CASE WHEN d.retry_at = l.retry_at THEN coalesce(l.error, d.error) ELSE d.error END,
    error_class = CASE WHEN d.retry_at = l.retry_at THEN coalesce(l.error_class, d.error_class) ELSE d.error_class END
FROM (SELECT json_extract(j.value, '$.retry_at') AS retry_at, json_extract(j.value, '$.aggregate_type') AS aggregate_type,
             json_extract(j.value, '$.aggregate_id') AS aggregate_id, json_extract(j.value, '$.error') AS error,
             json_extract(j.value, '$.error_class') AS error_class
      FROM json_each(?2) j) AS l
WHERE d.subscription = ?1 AND d.discarded_at IS NULL
  AND (d.retry_at = l.retry_at OR (l.error IS NOT NULL AND d.retry_at > l.retry_at
                                   AND d.aggregate_type = l.aggregate_type AND d.aggregate_id = l.aggregate_id))
