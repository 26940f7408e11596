-- What stands in the file: meowmx's tables, those of Python meowmx, the first table of anybody, whose file it says that it
-- is, and how it keeps text.
SELECT (SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'meowmx_meta'),
       (SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'es_aggregate_snapshots'),
       (SELECT count(*) FROM sqlite_schema
        WHERE type = 'table' AND name IN ('es_events', 'es_aggregates', 'es_aggregate_snapshot')),
       (SELECT min(name) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'),
       (SELECT application_id FROM pragma_application_id), (SELECT encoding FROM pragma_encoding)
