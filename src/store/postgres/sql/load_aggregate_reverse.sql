-- The events of aggregate $2 of type $1 with versions from $3 to $4, at most $5, of the event types $6 (NULL: all), newest first.
SELECT e.id, a.aggregate_type::text, e.aggregate_id::text, e.version, e.event_type::text, e.json_data, e.metadata,
       e.created_at, e.transaction_id
FROM es_aggregates a
JOIN es_events e ON e.aggregate_id = a.id
WHERE a.id = $2 AND a.aggregate_type = $1::text AND e.version >= $3::bigint AND e.version <= $4::bigint
  AND ($6::text[] IS NULL OR e.event_type = ANY ($6::text[]))
ORDER BY e.version DESC
LIMIT $5::bigint
