-- The checkpoint of partition ?3 of layout ?2 of subscription ?1.
SELECT delivered, fingerprint, position, generation, epoch, state, reason, error_class, coalesce(error_position, 0),
       paused, stop_kept, resume_from_store
FROM meowmx_checkpoints
WHERE subscription = ?1 AND layout = ?2 AND partition = ?3
