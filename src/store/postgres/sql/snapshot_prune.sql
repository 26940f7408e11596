-- Deletes the snapshots of aggregate $2 of type $1 but for the newest $3.
DELETE FROM es_aggregate_snapshot s
USING es_aggregates a
WHERE a.id = $2 AND a.aggregate_type = $1::text AND s.aggregate_id = a.id
  AND s.version NOT IN (SELECT n.version FROM es_aggregate_snapshot n WHERE n.aggregate_id = a.id
                        ORDER BY n.version DESC LIMIT $3::bigint)
