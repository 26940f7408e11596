-- Subscription $1 goes back to position $2, each partition that is beyond it, and all of them in a new generation: what a
-- sink remembers of an older one no longer counts. It never goes forward. What was set aside
-- beyond the position, or discarded, comes again; what lies before it stays, and holds its aggregate,
-- without a retry. Where it had stopped is no place to skip from any more.
WITH moved AS (
    UPDATE meowmx_checkpoints c
    SET generation = c.generation + 1, stop_kept = false, resume_from_store = false, error_position = NULL,
        position = least(c.position, $2::bigint), delivered = least(c.delivered, $2::bigint),
        fingerprint = CASE WHEN c.delivered <= $2::bigint THEN c.fingerprint END
    FROM (SELECT max(layout) AS layout FROM meowmx_checkpoints WHERE subscription = $1::text) newest
    WHERE c.subscription = $1::text AND c.layout = newest.layout
      AND $2::bigint <= (SELECT max(m.position) FROM meowmx_checkpoints m
                         WHERE m.subscription = $1::text AND m.layout = newest.layout)
    RETURNING c.subscription
), retries AS (
    UPDATE meowmx_dead_letters SET retry_at = NULL
    WHERE subscription = $1::text AND position <= $2::bigint AND retry_at IS NOT NULL AND EXISTS (SELECT FROM moved)
), letters AS (
    DELETE FROM meowmx_dead_letters
    WHERE subscription = $1::text AND position > $2::bigint AND EXISTS (SELECT FROM moved)
)
SELECT subscription FROM moved
