-- Whoever works on subscription $1 finishes what is in flight and rests until it is resumed.
UPDATE meowmx_checkpoints SET paused = true WHERE subscription = $1::text RETURNING subscription
