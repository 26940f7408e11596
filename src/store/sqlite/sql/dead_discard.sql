-- Discards at the time ?5 what dead_letters.sql finds, but one that others of its aggregate stand before.
UPDATE meowmx_dead_letters AS d SET discarded_at = ?5, retry_at = NULL
WHERE d.subscription = ?1 AND d.discarded_at IS NULL
  AND (?2 = 0 OR (d.position = ?2 AND NOT EXISTS (
        SELECT 1 FROM meowmx_dead_letters b
        WHERE b.subscription = d.subscription AND b.aggregate_type = d.aggregate_type AND b.aggregate_id = d.aggregate_id
          AND b.discarded_at IS NULL AND b.position < d.position)))
  AND (?3 IS NULL OR (d.aggregate_type = ?3 AND d.aggregate_id = ?4))
