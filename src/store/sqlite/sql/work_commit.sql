-- How far subscription ?1 has come at the time ?4: position ?2, and the last event that its handler was given, ?3. It
-- runs well again.
UPDATE meowmx_checkpoints
SET position = ?2, delivered = ?3, progressed_at = ?4,
    state_at = CASE WHEN state IS NOT 'RUNNING' THEN ?4 ELSE state_at END,
    state = 'RUNNING', reason = NULL, error_class = NULL, error_position = NULL
WHERE subscription = ?1 AND layout = 0 AND partition = 0
