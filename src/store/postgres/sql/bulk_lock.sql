-- Locks the aggregates $1 and returns what they are at: place in the list, version, type.
SELECT p.n, a.version::bigint, a.aggregate_type::text
FROM ROWS FROM (json_populate_recordset(NULL::es_aggregates, $1::json)) WITH ORDINALITY
     AS p (id, version, aggregate_type, n)
JOIN es_aggregates a ON a.id = p.id
ORDER BY a.id
FOR UPDATE OF a
