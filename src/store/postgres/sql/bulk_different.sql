-- Of the events given as in bulk_insert.sql, the place of the first that is not there with the same content. A JSON line
-- has a space where the stored document has a line break.
SELECT j.n
FROM ROWS FROM (json_array_elements($1::json), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]),
                unnest($5::timestamptz[])) WITH ORDINALITY AS j (record, type, data, metadata, time, n)
CROSS JOIN LATERAL json_populate_record(NULL::es_aggregates, j.record) p
LEFT JOIN es_events e ON e.aggregate_id = p.id AND e.version = p.version
WHERE e.id IS NULL OR e.event_type <> j.type
   OR translate(e.json_data::text, E'\r\n', '  ') <> translate(j.data, E'\r\n', '  ')
   OR translate(e.metadata::text, E'\r\n', '  ') IS DISTINCT FROM translate(j.metadata, E'\r\n', '  ')
   OR (j.time IS NOT NULL AND e.created_at IS NOT NULL AND e.created_at <> j.time)
ORDER BY j.n LIMIT 1
