-- How far a checkpoint was proven settled.
SELECT coalesce(max(position), 0) FROM meowmx_checkpoints
