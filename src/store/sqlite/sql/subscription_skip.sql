-- Steps over the event at ?2, if the subscription has stopped at it. What was delivered stays what it is.
UPDATE meowmx_checkpoints SET position = ?2, stop_kept = 0, resume_from_store = 1
WHERE subscription = ?1 AND state = 'FAILED' AND error_position = ?2
RETURNING 1
