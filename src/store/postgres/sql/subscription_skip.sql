-- Steps over the event at $2, if the subscription has stopped at it.
UPDATE meowmx_checkpoints
SET delivered = $2::bigint, position = $2::bigint, fingerprint = NULL, stop_kept = false, resume_from_store = true
WHERE subscription = $1::text AND state = 'FAILED' AND error_position = $2::bigint
RETURNING subscription
