-- The events of aggregate $2 of type $1 with versions from $3 to $4, at most $5, of the event types $6 (NULL: all). The
-- aggregate is looked up once: a generic plan of a join would do it for each event. Whoever asked knows the type, so it
-- is not sent with each.
SELECT e.id, NULL::text, e.aggregate_id::text, e.version, e.event_type::text, e.json_data, e.metadata, e.created_at,
       e.transaction_id
FROM es_events e
WHERE e.aggregate_id = (SELECT a.id FROM es_aggregates a WHERE a.id = $2 AND a.aggregate_type = $1::text)
  AND e.version >= $3::bigint AND e.version <= $4::bigint
  AND ($6::text[] IS NULL OR e.event_type = ANY ($6::text[]))
ORDER BY e.version ASC
LIMIT $5::bigint
