-- Whoever works on subscription ?1 finishes what is in flight and rests until it is resumed.
UPDATE meowmx_checkpoints SET paused = 1 WHERE subscription = ?1 RETURNING 1
