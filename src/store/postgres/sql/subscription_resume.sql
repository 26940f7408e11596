-- Ends a stop: the route tries again, and trusts the store's checkpoint over its sink, once.
UPDATE meowmx_checkpoints SET stop_kept = false, resume_from_store = true
WHERE subscription = $1::text
RETURNING subscription
