-- The first $2 aggregates in the order of their ids, of type $1 or, with NULL, of all.
SELECT a.aggregate_type::text, a.id::text, a.version::bigint
FROM es_aggregates a
WHERE $1::text IS NULL OR a.aggregate_type = $1::text
ORDER BY a.id
LIMIT $2::bigint
