-- The state of aggregate ?2 of type ?1 after its event of version ?3 at position ?4: ?5. No row if there is no such event.
INSERT INTO es_aggregate_snapshot (aggregate_id, version, json_data, position)
SELECT aggregate_id, version, ?5, id FROM es_events
WHERE aggregate_id = ?2 AND version = ?3 AND id = ?4 AND aggregate_type = ?1
ON CONFLICT (aggregate_id, version) DO UPDATE SET json_data = excluded.json_data, position = excluded.position
RETURNING version
