-- The next ?2 aggregates behind the id ?3, as aggregates_first.sql.
SELECT aggregate_type, id, version FROM es_aggregates
WHERE id > ?3 AND (?1 IS NULL OR aggregate_type = ?1)
ORDER BY id
LIMIT ?2
