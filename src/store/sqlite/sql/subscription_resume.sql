-- Ends a pause; or else a stop: the route tries again, and trusts the store's checkpoint over a sink that forgot, once.
UPDATE meowmx_checkpoints
SET paused = 0, stop_kept = stop_kept AND paused, resume_from_store = resume_from_store OR NOT paused
WHERE subscription = ?1 AND (state = 'FAILED' OR stop_kept OR paused)
RETURNING 1
