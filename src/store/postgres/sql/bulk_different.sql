-- Of the events given as in bulk_insert.sql, the place of the first that is not there with the same content. A JSON line
-- has a space where the stored document has a line break.
SELECT p.n
FROM ROWS FROM (json_populate_recordset(NULL::es_aggregates, $1::json), unnest($2::text[]), unnest($3::text[]),
                unnest($4::text[]), unnest($5::timestamptz[])) WITH ORDINALITY
     AS p (id, version, aggregate_type, type, data, metadata, time, n)
LEFT JOIN es_events e ON e.aggregate_id = p.id AND e.version = p.version
WHERE e.id IS NULL OR e.event_type <> p.type
   OR translate(e.json_data::text, E'\r\n', '  ') <> translate(p.data, E'\r\n', '  ')
   OR translate(e.metadata::text, E'\r\n', '  ') IS DISTINCT FROM translate(p.metadata, E'\r\n', '  ')
   OR (p.time IS NOT NULL AND e.created_at IS NOT NULL AND e.created_at <> p.time)
ORDER BY p.n LIMIT 1
