-- Ends a stop: the route tries again, and trusts the store's checkpoint over a sink that forgot, once.
UPDATE meowmx_checkpoints SET stop_kept = false, resume_from_store = true
WHERE subscription = $1::text AND (state = 'FAILED' OR stop_kept)
RETURNING subscription
