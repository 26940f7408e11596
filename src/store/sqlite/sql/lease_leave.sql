-- Relay ?2 runs subscription ?1 no more.
DELETE FROM meowmx_relays WHERE subscription = ?1 AND relay = ?2
