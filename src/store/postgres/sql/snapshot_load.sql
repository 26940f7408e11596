-- The newest snapshot of aggregate $2 of type $1 at or below version $3 whose event is still the one that it was made of.
SELECT s.version::bigint, s.position, s.json_data
FROM es_aggregates a
JOIN es_aggregate_snapshot s ON s.aggregate_id = a.id
JOIN es_events e ON e.aggregate_id = s.aggregate_id AND e.version = s.version AND e.id = s.position
WHERE a.id = $2 AND a.aggregate_type = $1::text AND s.version <= $3::bigint
ORDER BY s.version DESC
LIMIT 1
