-- The relays that have not run subscription ?1 since ?2.
DELETE FROM meowmx_relays WHERE subscription = ?1 AND until < ?2
