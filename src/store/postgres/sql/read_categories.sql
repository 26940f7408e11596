-- Events of the categories $4 behind position $1 up to $2, at most $3, of the event types $5 (NULL: all): each category by
-- its own index, and, merged by id, the rows without a type.
SELECT e.id, f.type, e.aggregate_id::text, e.version, e.event_type::text, e.json_data, e.metadata, e.created_at,
       e.transaction_id
FROM (SELECT r.id, r.type
      FROM ((SELECT o.id, c.type
             FROM (SELECT DISTINCT unnest($4::text[]) AS type) c
             CROSS JOIN LATERAL (SELECT i.id FROM es_events i
                                 WHERE i.aggregate_type = c.type AND i.id > $1::bigint AND i.id <= $2::bigint
                                   AND ($5::text[] IS NULL OR i.event_type = ANY ($5::text[]))
                                 ORDER BY i.id LIMIT $3::bigint) o)
            UNION ALL
            (SELECT u.id, a.aggregate_type::text
             FROM es_events u
             JOIN es_aggregates a ON a.id = u.aggregate_id
             WHERE u.aggregate_type IS NULL AND a.aggregate_type = ANY ($4::text[])
               AND u.id > $1::bigint AND u.id <= $2::bigint
               AND ($5::text[] IS NULL OR u.event_type = ANY ($5::text[]))
             ORDER BY u.id LIMIT $3::bigint)) r
      ORDER BY r.id LIMIT $3::bigint) f
JOIN es_events e ON e.id = f.id
ORDER BY e.id
