-- Makes subscription $1 begin behind position $2, unless it has moved: then there is no row. A relay that runs it already
-- finds an operator's decision, and takes it.
INSERT INTO meowmx_checkpoints AS c
    (subscription, delivered, position, state, state_at, progressed_at, resume_from_store)
SELECT $1::text, $2::bigint, $2::bigint, 'UNASSIGNED', clock_timestamp(), clock_timestamp(), true
FROM set_config('synchronous_commit', 'on', true)
ON CONFLICT (subscription, layout, partition) DO UPDATE SET
    delivered = excluded.delivered, position = excluded.position, state = excluded.state, reason = NULL,
    error_class = NULL, error_position = NULL, state_at = excluded.state_at, progressed_at = excluded.progressed_at,
    resume_from_store = true
WHERE c.position = 0 AND c.delivered = 0 AND c.progressed_at IS NULL
RETURNING true
