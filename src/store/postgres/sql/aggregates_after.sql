-- The next $2 aggregates behind the id $3, as aggregates_first.sql.
SELECT a.aggregate_type::text, a.id::text, a.version::bigint
FROM es_aggregates a
WHERE a.id > $3 AND ($1::text IS NULL OR a.aggregate_type = $1::text)
ORDER BY a.id
LIMIT $2::bigint
