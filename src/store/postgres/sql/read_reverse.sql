-- Newest first: events behind position $1 up to $2, at most $3, of the event types $4 (NULL: all). The type of an event that a foreign
-- writer left without one is its aggregate's; it is looked up for those rows alone.
SELECT e.id,
       coalesce(e.aggregate_type, (SELECT a.aggregate_type FROM es_aggregates a WHERE a.id = e.aggregate_id))::text,
       e.aggregate_id::text, e.version, e.event_type::text, e.json_data, e.metadata, e.created_at, e.transaction_id
FROM es_events e
WHERE e.id > $1::bigint AND e.id <= $2::bigint AND ($4::text[] IS NULL OR e.event_type = ANY ($4::text[]))
ORDER BY e.id DESC
LIMIT $3::bigint
