-- The versions that the aggregates $1 have reached.
UPDATE es_aggregates a SET version = p.version
FROM json_populate_recordset(NULL::es_aggregates, $1::json) p WHERE a.id = p.id
