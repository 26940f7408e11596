-- Forgets subscription ?1, unless a relay has the lease of one of its partitions at ?2.
DELETE FROM meowmx_checkpoints
WHERE subscription = ?1
  AND NOT EXISTS (SELECT 1 FROM meowmx_checkpoints w
                  WHERE w.subscription = ?1 AND w.lease_until > ?2 AND w.lease_until <= ?2 + w.lease_length)
RETURNING 1
