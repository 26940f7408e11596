-- The first ?2 aggregates in the order of their ids, of type ?1 or, with NULL, of all.
SELECT aggregate_type, id, version FROM es_aggregates
WHERE ?1 IS NULL OR aggregate_type = ?1
ORDER BY id
LIMIT ?2
