-- Relay ?4 gives back its lease, of epoch ?5 (0: any), of partition ?3 in layout ?2 of subscription ?1. The epoch stays.
UPDATE meowmx_checkpoints SET lease_holder = NULL, lease_until = NULL
WHERE subscription = ?1 AND layout = ?2 AND partition = ?3 AND ?5 IN (0, epoch) AND lease_holder = ?4
