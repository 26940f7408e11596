-- Aggregate ?1 ends before version ?2 now.
UPDATE es_aggregates SET version = ?2 - 1 WHERE id = ?1
