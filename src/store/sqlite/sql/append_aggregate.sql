-- Aggregate ?1 of type ?2 stands at version ?3 from now on, whether it was there or not.
INSERT INTO es_aggregates (id, aggregate_type, version) VALUES (?1, ?2, ?3)
ON CONFLICT (id) DO UPDATE SET version = excluded.version
