-- Locks the aggregates $1 and returns what they are at: place in the list, version, type, and the id as the database
-- prints it, by which two spellings of one id are known.
SELECT j.n, a.version::bigint, a.aggregate_type::text, a.id::text
FROM json_array_elements($1::json) WITH ORDINALITY AS j (record, n)
CROSS JOIN LATERAL json_populate_record(NULL::es_aggregates, j.record) p
JOIN es_aggregates a ON a.id = p.id
ORDER BY a.id, j.n
FOR UPDATE OF a
