-- What stands in the file: meowmx's tables, those of Python meowmx, the first table of anybody, and whose file it says
-- that it is.
SELECT (SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'meowmx_meta'),
       (SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'es_aggregate_snapshots'),
       (SELECT count(*) FROM sqlite_schema
        WHERE type = 'table' AND name IN ('es_events', 'es_aggregates', 'es_aggregate_snapshot')),
       (SELECT min(name) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'),
       (SELECT application_id FROM pragma_application_id)
