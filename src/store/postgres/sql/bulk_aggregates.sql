-- Creates the aggregates $1 that are not there, without an event. json_populate_recordset turns texts into ids of the
-- column's own type. In the order of their ids, so that two loads cannot deadlock.
INSERT INTO es_aggregates (id, version, aggregate_type)
SELECT p.id, -1, p.aggregate_type FROM json_populate_recordset(NULL::es_aggregates, $1::json) p ORDER BY p.id
ON CONFLICT (id) DO NOTHING
