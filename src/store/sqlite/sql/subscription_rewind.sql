-- Subscription ?1 goes back to position ?2, each partition that is beyond it, and all of them in a new generation: what a
-- sink remembers of an older one no longer counts. It never goes forward. Where it had stopped is no place to skip from
-- any more.
UPDATE meowmx_checkpoints
SET generation = generation + 1, stop_kept = 0, resume_from_store = 0, error_position = NULL,
    position = min(position, ?2), delivered = min(delivered, ?2),
    fingerprint = CASE WHEN delivered <= ?2 THEN fingerprint END
WHERE subscription = ?1
  AND layout = (SELECT max(m.layout) FROM meowmx_checkpoints m WHERE m.subscription = ?1)
  AND ?2 <= (SELECT max(m.position) FROM meowmx_checkpoints m
             WHERE m.subscription = ?1 AND m.layout = (SELECT max(n.layout) FROM meowmx_checkpoints n
                                                       WHERE n.subscription = ?1))
RETURNING 1
