-- Forgets subscription ?1, if nobody works on it; with ?2 in any case.
DELETE FROM meowmx_checkpoints
WHERE subscription = ?1
  AND (?2 OR NOT EXISTS (SELECT 1 FROM meowmx_checkpoints w WHERE w.subscription = ?1
                         AND coalesce(w.state, 'UNASSIGNED') <> 'UNASSIGNED'))
RETURNING 1
