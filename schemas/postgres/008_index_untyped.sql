CREATE INDEX CONCURRENTLY meowmx_events_untyped ON es_events (id) WHERE aggregate_type IS NULL
