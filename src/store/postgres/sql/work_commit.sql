-- How far subscription $1 has come: position $2, and the last event that its handler was given, $3. It runs well again.
-- No row in another transaction than $4, which locked the checkpoint.
UPDATE meowmx_checkpoints
SET position = $2::bigint, delivered = $3::bigint, progressed_at = clock_timestamp(),
    state_at = CASE WHEN state IS DISTINCT FROM 'RUNNING' THEN clock_timestamp() ELSE state_at END,
    state = 'RUNNING', reason = NULL, error_class = NULL, error_position = NULL
WHERE subscription = $1::text AND layout = 0 AND partition = 0 AND pg_current_xact_id() = $4::xid8
