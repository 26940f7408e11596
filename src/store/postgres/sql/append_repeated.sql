-- Whether token $3 has appended to aggregate $1 already: beginning with the event at version $2, or, with $2 NULL,
-- anywhere. Version and position of the last event of that append, and all positions; or no row.
SELECT max(e.version)::bigint, max(e.id), array_agg(e.id ORDER BY e.version)
FROM es_events e
WHERE e.aggregate_id = $1 AND e.append_id = $3::uuid AND e.version >= coalesce($2::bigint - 1, 0)
HAVING count(*) > 0 AND ($2::bigint IS NULL OR min(e.version) = $2::bigint)
