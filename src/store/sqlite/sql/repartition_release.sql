-- The leases of ?3 in layout ?2 of subscription ?1 go back.
UPDATE meowmx_checkpoints SET lease_holder = NULL, lease_until = NULL
WHERE subscription = ?1 AND layout = ?2 AND lease_holder = ?3
