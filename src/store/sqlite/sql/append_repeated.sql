-- The events that token ?3 has appended to aggregate ?1, from version ?2 on.
SELECT version, id FROM es_events
WHERE aggregate_id = ?1 AND version >= ?2 AND append_id = ?3
ORDER BY version
