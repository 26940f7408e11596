-- Which store this is.
SELECT store_id, schema_version FROM meowmx_meta
