-- Set-up is complete: schema ?1, and which store this is, ?2.
INSERT INTO meowmx_meta (schema_version, store_id) VALUES (?1, ?2)
