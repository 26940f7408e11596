-- What was set aside for subscription ?1 beyond position ?2; what was discarded only where ?2 is -1.
DELETE FROM meowmx_dead_letters WHERE subscription = ?1 AND position > ?2 AND (discarded_at IS NULL OR ?2 = -1)
