-- The checkpoint of subscription $1, locked until the transaction ends; and which transaction that is. Whoever has it
-- locked may be frozen, so it is not waited for (55P03): the subscription could not be stopped meanwhile.
SELECT position, delivered, generation, progressed_at IS NULL AND position = 0 AND delivered = 0, paused,
       pg_current_xact_id()
FROM meowmx_checkpoints
WHERE subscription = $1::text AND layout = 0 AND partition = 0
FOR UPDATE NOWAIT
