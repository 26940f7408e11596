-- Steps over the event at $2, if the subscription has stopped at it. What was delivered stays what it is.
UPDATE meowmx_checkpoints
SET position = $2::bigint, stop_kept = false, resume_from_store = true
WHERE subscription = $1::text AND state = 'FAILED' AND error_position = $2::bigint
RETURNING subscription
