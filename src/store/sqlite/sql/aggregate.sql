-- The version and type of aggregate ?1.
SELECT version, aggregate_type FROM es_aggregates WHERE id = ?1
