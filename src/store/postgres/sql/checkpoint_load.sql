-- The checkpoint of partition $3 of layout $2 of subscription $1.
SELECT c.delivered, c.fingerprint, c.position, c.generation, c.epoch, c.state, c.reason, c.error_class,
       c.error_position, c.paused, c.stop_kept, c.resume_from_store
FROM meowmx_checkpoints c
WHERE c.subscription = $1::text AND c.layout = $2::int AND c.partition = $3::int
