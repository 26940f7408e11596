-- What status shows of subscription $1: state $2, reason $3, error class $4, error position $5.
INSERT INTO meowmx_checkpoints AS c (subscription, state, reason, error_class, error_position, state_at)
VALUES ($1::text, $2::text, $3::text, $4::text, $5::bigint, clock_timestamp())
ON CONFLICT (subscription, layout, partition) DO UPDATE SET
    state = excluded.state, reason = excluded.reason, error_class = excluded.error_class,
    error_position = excluded.error_position,
    state_at = CASE WHEN c.state IS DISTINCT FROM excluded.state OR c.reason IS DISTINCT FROM excluded.reason
                    THEN excluded.state_at ELSE c.state_at END
