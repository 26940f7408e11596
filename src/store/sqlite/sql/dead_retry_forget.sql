-- No dead letter of subscription ?1 up to position ?2 has a retry.
UPDATE meowmx_dead_letters SET retry_at = NULL WHERE subscription = ?1 AND position <= ?2 AND retry_at IS NOT NULL
