-- The checkpoint of subscription $1, without a lock.
SELECT position, delivered, generation, progressed_at IS NULL AND position = 0 AND delivered = 0, paused
FROM meowmx_checkpoints
WHERE subscription = $1::text AND layout = 0 AND partition = 0
