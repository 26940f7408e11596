-- Deletes the snapshots of aggregate ?2 of type ?1 but for the newest ?3.
DELETE FROM es_aggregate_snapshot
WHERE aggregate_id = (SELECT a.id FROM es_aggregates a WHERE a.id = ?2 AND a.aggregate_type = ?1)
  AND version NOT IN (SELECT n.version FROM es_aggregate_snapshot n WHERE n.aggregate_id = ?2
                      ORDER BY n.version DESC LIMIT ?3)
