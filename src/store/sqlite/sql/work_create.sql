-- The checkpoint of subscription ?1, if it is new.
INSERT INTO meowmx_checkpoints (subscription) VALUES (?1) ON CONFLICT DO NOTHING
