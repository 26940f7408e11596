-- What is there of aggregate $1, after an append that added nothing.
SELECT version::bigint, aggregate_type::text FROM es_aggregates WHERE id = $1
