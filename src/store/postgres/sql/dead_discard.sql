-- Discards what dead_letters.sql finds, but one that others of its aggregate stand before.
UPDATE meowmx_dead_letters d SET discarded_at = clock_timestamp(), retry_at = NULL
WHERE d.subscription = $1::text AND d.discarded_at IS NULL
  AND ($2::bigint = 0 OR (d.position = $2::bigint AND NOT EXISTS (
        SELECT FROM meowmx_dead_letters b
        WHERE b.subscription = d.subscription AND b.aggregate_type = d.aggregate_type AND b.aggregate_id = d.aggregate_id
          AND b.discarded_at IS NULL AND b.position < d.position)))
  AND ($3::text IS NULL OR (d.aggregate_type = $3::text AND d.aggregate_id = $4::text))
RETURNING d.position
