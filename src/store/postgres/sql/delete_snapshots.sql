-- The snapshots of aggregate $1 from version $2 on: of a state that no event leads to any more.
DELETE FROM es_aggregate_snapshot WHERE aggregate_id = $1 AND version >= $2::bigint
