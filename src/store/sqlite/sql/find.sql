-- The event at position ?1.
SELECT id, aggregate_type, aggregate_id, version, event_type, json_data, metadata, created_at, transaction_id
FROM es_events WHERE id = ?1
