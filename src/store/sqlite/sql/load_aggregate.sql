-- The events of aggregate ?2 of type ?1 with versions from ?3 to ?4, at most ?5, of the event types in the JSON array ?6
-- (NULL: all).
SELECT id, aggregate_type, aggregate_id, version, event_type, json_data, metadata, created_at, transaction_id
FROM es_events
WHERE aggregate_id = ?2 AND version >= ?3 AND version <= ?4 AND aggregate_type = ?1
  AND (?6 IS NULL OR event_type IN (SELECT value FROM json_each(?6)))
ORDER BY version ASC
LIMIT ?5
