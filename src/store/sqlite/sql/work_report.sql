-- What status shows of subscription ?1: state ?2, reason ?3, error class ?4, error position ?5, at the time ?6.
INSERT INTO meowmx_checkpoints AS c (subscription, state, reason, error_class, error_position, state_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (subscription, layout, partition) DO UPDATE SET
    state = excluded.state, reason = excluded.reason, error_class = excluded.error_class,
    error_position = excluded.error_position,
    state_at = CASE WHEN c.state IS NOT excluded.state OR c.reason IS NOT excluded.reason
                    THEN excluded.state_at ELSE c.state_at END
