-- Adds events: $1 their aggregates and versions, then, in parallel, $2 types, $3 data, $4 metadata, $5 times.
INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data, aggregate_type, metadata, created_at)
SELECT pg_current_xact_id(), p.id, p.version, j.type, j.data::json, p.aggregate_type, j.metadata::json,
       coalesce(j.time, now())
FROM ROWS FROM (json_array_elements($1::json), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]),
                unnest($5::timestamptz[])) WITH ORDINALITY AS j (record, type, data, metadata, time, n)
CROSS JOIN LATERAL json_populate_record(NULL::es_aggregates, j.record) p
ORDER BY j.n
