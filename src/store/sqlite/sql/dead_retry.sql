-- What dead_letters.sql finds is to be published again, each at a position of its own behind the last one, in their order;
-- but one that others of its aggregate stand before.
WITH wanted AS (
    SELECT d.generation, d.position, row_number() OVER (ORDER BY d.position) AS number FROM meowmx_dead_letters d
    WHERE d.subscription = ?1 AND d.discarded_at IS NULL AND d.retry_at IS NULL
      AND (?2 = 0 OR (d.position = ?2 AND NOT EXISTS (
            SELECT 1 FROM meowmx_dead_letters b
            WHERE b.subscription = d.subscription AND b.aggregate_type = d.aggregate_type
              AND b.aggregate_id = d.aggregate_id AND b.discarded_at IS NULL AND b.retry_at IS NULL
              AND b.position < d.position)))
      AND (?3 IS NULL OR (d.aggregate_type = ?3 AND d.aggregate_id = ?4))
)
UPDATE meowmx_dead_letters AS d
SET retry_at = (SELECT seq FROM sqlite_sequence WHERE name = 'es_events') + n.number
FROM wanted n
WHERE d.subscription = ?1 AND d.generation = n.generation AND d.position = n.position
