-- As read.sql, but of the events of other categories than $4 only the ids, the rest NULL: they fill what would look like
-- gaps.
SELECT e.id, CASE WHEN w.wanted THEN t.type END,
       CASE WHEN w.wanted THEN e.aggregate_id::text END, CASE WHEN w.wanted THEN e.version END,
       CASE WHEN w.wanted THEN e.event_type::text END, CASE WHEN w.wanted THEN e.json_data END,
       CASE WHEN w.wanted THEN e.metadata END, CASE WHEN w.wanted THEN e.created_at END,
       CASE WHEN w.wanted THEN e.transaction_id END
FROM es_events e
CROSS JOIN LATERAL (
    SELECT coalesce(e.aggregate_type, (SELECT a.aggregate_type FROM es_aggregates a WHERE a.id = e.aggregate_id))::text
           AS type OFFSET 0) t
CROSS JOIN LATERAL (SELECT coalesce(t.type = ANY ($4::text[]), false) AS wanted OFFSET 0) w
WHERE e.id > $1::bigint AND e.id <= $2::bigint
ORDER BY e.id
LIMIT $3::bigint
