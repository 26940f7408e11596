-- What was set aside for subscription ?1 beyond position ?2, or discarded.
DELETE FROM meowmx_dead_letters WHERE subscription = ?1 AND position > ?2
