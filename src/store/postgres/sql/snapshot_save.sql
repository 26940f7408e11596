-- The state of aggregate $2 of type $1 after its event of version $3 at position $4: $5. No row if there is no such event.
INSERT INTO es_aggregate_snapshot AS s (aggregate_id, version, json_data, position)
SELECT e.aggregate_id, e.version, $5::json, e.id
FROM es_aggregates a
JOIN es_events e ON e.aggregate_id = a.id
WHERE a.id = $2 AND a.aggregate_type = $1::text AND e.version = $3::bigint AND e.id = $4::bigint
ON CONFLICT (aggregate_id, version) DO UPDATE SET json_data = excluded.json_data, position = excluded.position
RETURNING version
