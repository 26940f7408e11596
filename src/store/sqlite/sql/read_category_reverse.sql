-- Newest first: events of category ?4 from position ?1 to ?2, at most ?3, of the event types in the JSON array ?5
-- (NULL: all).
SELECT id, aggregate_type, aggregate_id, version, event_type, json_data, metadata, created_at, transaction_id
FROM es_events INDEXED BY meowmx_events_category
WHERE aggregate_type = ?4 AND id >= ?1 AND id <= ?2
  AND (?5 IS NULL OR event_type IN (SELECT value FROM json_each(?5)))
ORDER BY id DESC
LIMIT ?3
