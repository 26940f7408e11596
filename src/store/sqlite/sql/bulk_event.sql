-- What is there of aggregate ?1 at version ?2.
SELECT event_type, json_data, metadata, created_at FROM es_events WHERE aggregate_id = ?1 AND version = ?2
