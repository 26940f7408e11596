-- Returns no row, and writes nothing, when the row carries another epoch or generation, or an operator's decision that was
-- not loaded yet. $16 above 0 renews the lease for so many ms. set_config makes this one commit durable whatever the
-- server's, database's or role's synchronous_commit says.
INSERT INTO meowmx_checkpoints AS c
    (subscription, layout, partition, delivered, fingerprint, position, generation, epoch, state, reason, error_class,
     error_position, stop_kept, state_at, progressed_at)
SELECT $1::text, $2::int, $3::int, $4::bigint, $5::text, $6::bigint, $7::bigint, $8::bigint, $9::text, $10::text,
       $11::text, $12::bigint, $13::boolean, clock_timestamp(), CASE WHEN $6::bigint > 0 THEN clock_timestamp() END
FROM set_config('synchronous_commit', 'on', true)
ON CONFLICT (subscription, layout, partition) DO UPDATE SET
    delivered = excluded.delivered, fingerprint = excluded.fingerprint, position = excluded.position,
    state = coalesce(excluded.state, c.state),
    reason = CASE WHEN excluded.state IS NULL THEN c.reason ELSE excluded.reason END,
    error_class = CASE WHEN excluded.state IS NULL THEN c.error_class ELSE excluded.error_class END,
    error_position = CASE WHEN excluded.state IS NULL THEN c.error_position ELSE excluded.error_position END,
    state_at = CASE WHEN coalesce(excluded.state, c.state) IS DISTINCT FROM c.state
                      OR (excluded.state IS NOT NULL AND excluded.reason IS DISTINCT FROM c.reason)
                    THEN excluded.state_at ELSE c.state_at END,
    progressed_at = CASE WHEN excluded.position > c.position OR excluded.delivered > c.delivered
                         THEN excluded.progressed_at ELSE c.progressed_at END,
    stop_kept = c.stop_kept OR excluded.stop_kept,
    resume_from_store = c.resume_from_store AND NOT $14::boolean,
    lease_until = CASE WHEN $16::bigint > 0 THEN clock_timestamp() + $16::bigint * interval '1 ms' ELSE c.lease_until END
WHERE c.epoch = excluded.epoch AND c.generation = excluded.generation AND (NOT c.resume_from_store OR $15::boolean)
RETURNING true
