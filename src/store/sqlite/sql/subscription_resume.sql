-- Ends a stop: the route tries again, and trusts the store's checkpoint over a sink that forgot, once.
UPDATE meowmx_checkpoints SET stop_kept = 0, resume_from_store = 1
WHERE subscription = ?1 AND (state = 'FAILED' OR stop_kept)
RETURNING 1
