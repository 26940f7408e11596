-- Aggregate ?1, none of whose events is left.
DELETE FROM es_aggregates WHERE id = ?1
