-- The events of aggregate ?1 from version ?2 on.
DELETE FROM es_events WHERE aggregate_id = ?1 AND version >= ?2
