-- Aggregate ?1 of type ?2 moves from version ?3 to version ?4, if it is there.
UPDATE es_aggregates SET version = ?4 WHERE id = ?1 AND version = ?3 AND aggregate_type = ?2
