-- How far a relay has proven the store settled. An event that a sink has got was committed, and with it the ids below it;
-- a checkpoint's position may lie above ids that a crash made the sequence draw again.
SELECT coalesce(max(delivered), 0) FROM meowmx_checkpoints
