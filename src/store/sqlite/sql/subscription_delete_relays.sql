-- Which relays run subscription ?1.
DELETE FROM meowmx_relays WHERE subscription = ?1
