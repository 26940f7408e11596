-- Relay ?4 renews its lease, of epoch ?7, of partition ?3 in layout ?2 of subscription ?1, until ?5, ?6 us ahead.
UPDATE meowmx_checkpoints SET lease_until = ?5, lease_length = ?6
WHERE subscription = ?1 AND layout = ?2 AND partition = ?3 AND epoch = ?7 AND lease_holder = ?4
