-- The snapshots of aggregate ?1 from version ?2 on.
DELETE FROM es_aggregate_snapshot WHERE aggregate_id = ?1 AND version >= ?2
