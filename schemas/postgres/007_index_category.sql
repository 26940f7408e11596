CREATE INDEX CONCURRENTLY meowmx_events_category ON es_events (aggregate_type, id)
