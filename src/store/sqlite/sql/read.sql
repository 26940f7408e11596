-- Events from position ?1 to ?2, at most ?3, of the event types in the JSON array ?4 (NULL: all).
SELECT id, aggregate_type, aggregate_id, version, event_type, json_data, metadata, created_at, transaction_id
FROM es_events
WHERE id >= ?1 AND id <= ?2 AND (?4 IS NULL OR event_type IN (SELECT value FROM json_each(?4)))
ORDER BY id ASC
LIMIT ?3
