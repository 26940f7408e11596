-- The newest snapshot of aggregate ?2 of type ?1 at or below version ?3 whose event is still the one that it was made of.
SELECT s.version, s.position, s.json_data
FROM es_aggregate_snapshot s
JOIN es_events e ON e.aggregate_id = s.aggregate_id AND e.version = s.version AND e.id = s.position
WHERE s.aggregate_id = ?2 AND s.version <= ?3 AND e.aggregate_type = ?1
ORDER BY s.version DESC
LIMIT 1
