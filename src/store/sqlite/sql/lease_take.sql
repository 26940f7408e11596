-- Relay ?4 takes the lease of partition ?3 in layout ?2 of subscription ?1, until ?5, which lies ?6 us ahead. Its epoch is at
-- least the milliseconds since 1970, so that those of a row that was deleted, or of a store that was brought back from a copy,
-- begin above what a sink remembers.
INSERT INTO meowmx_checkpoints AS c (subscription, layout, partition, epoch, lease_holder, lease_until, lease_length)
VALUES (?1, ?2, ?3, (?5 - ?6) / 1000, ?4, ?5, ?6)
ON CONFLICT (subscription, layout, partition) DO UPDATE SET
    epoch = max(c.epoch + 1, excluded.epoch), lease_holder = excluded.lease_holder, lease_until = excluded.lease_until,
    lease_length = excluded.lease_length
RETURNING epoch
