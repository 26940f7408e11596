-- Which store this is.
SELECT store_id, schema_version, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'es_events'), 0)
FROM meowmx_meta
