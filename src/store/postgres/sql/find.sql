-- The event at position $1.
SELECT e.id,
       coalesce(e.aggregate_type, (SELECT a.aggregate_type FROM es_aggregates a WHERE a.id = e.aggregate_id))::text,
       e.aggregate_id::text, e.version, e.event_type::text, e.json_data, e.metadata, e.created_at, e.transaction_id
FROM es_events e
WHERE e.id = $1::bigint
