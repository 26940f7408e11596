-- Relay ?4 takes the lease of partition ?3 in layout ?2 of subscription ?1, until ?5, which lies ?6 us ahead.
INSERT INTO meowmx_checkpoints AS c (subscription, layout, partition, epoch, lease_holder, lease_until, lease_length)
VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6)
ON CONFLICT (subscription, layout, partition) DO UPDATE SET
    epoch = c.epoch + 1, lease_holder = excluded.lease_holder, lease_until = excluded.lease_until,
    lease_length = excluded.lease_length
RETURNING epoch
