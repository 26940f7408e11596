-- The version and type of aggregate $1, whose row stays locked: whoever appends waits for us, and then sees what is left.
SELECT version::bigint, aggregate_type::text FROM es_aggregates WHERE id = $1 FOR UPDATE
