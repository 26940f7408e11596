-- Returns no row, and writes nothing, when the row carries another epoch or generation, or an operator's decision that
-- was not loaded yet. ?16 is the time; ?17 above 0 renews the lease for so many ms.
INSERT INTO meowmx_checkpoints AS c
    (subscription, layout, partition, delivered, fingerprint, position, generation, epoch, state, reason, error_class,
     error_position, stop_kept, state_at, progressed_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?16, CASE WHEN ?6 > 0 THEN ?16 END)
ON CONFLICT (subscription, layout, partition) DO UPDATE SET
    delivered = excluded.delivered, fingerprint = excluded.fingerprint, position = excluded.position,
    state = coalesce(excluded.state, c.state),
    reason = CASE WHEN excluded.state IS NULL THEN c.reason ELSE excluded.reason END,
    error_class = CASE WHEN excluded.state IS NULL THEN c.error_class ELSE excluded.error_class END,
    error_position = CASE WHEN excluded.state IS NULL THEN c.error_position ELSE excluded.error_position END,
    state_at = CASE WHEN coalesce(excluded.state, c.state) IS NOT c.state
                      OR (excluded.state IS NOT NULL AND excluded.reason IS NOT c.reason)
                    THEN excluded.state_at ELSE c.state_at END,
    progressed_at = CASE WHEN excluded.position > c.position OR excluded.delivered > c.delivered
                         THEN excluded.state_at ELSE c.progressed_at END,
    stop_kept = c.stop_kept OR excluded.stop_kept,
    resume_from_store = c.resume_from_store AND NOT ?14,
    lease_until = CASE WHEN ?17 > 0 THEN ?16 + ?17 * 1000 ELSE c.lease_until END
WHERE c.epoch = excluded.epoch AND c.generation = excluded.generation AND (NOT c.resume_from_store OR ?15)
RETURNING 1
