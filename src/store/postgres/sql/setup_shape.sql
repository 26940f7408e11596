-- The first column that is there and not of the type that meowmx reads and writes, or that is missing and not one of
-- those that set-up adds; no row if all are well.
SELECT w.tab, w.col, w.type, coalesce(format_type(a.atttypid, a.atttypmod), 'missing')
FROM (VALUES ('es_events', 'id', 'bigint', false), ('es_events', 'transaction_id', 'xid8', false),
             ('es_events', 'version', 'integer', false), ('es_events', 'event_type', 'text', false),
             ('es_events', 'json_data', 'json', false), ('es_events', 'aggregate_type', 'text', true),
             ('es_events', 'metadata', 'json', true), ('es_events', 'append_id', 'uuid', true),
             ('es_events', 'created_at', 'timestamp with time zone', true),
             ('es_aggregates', 'version', 'integer', false), ('es_aggregates', 'aggregate_type', 'text', false),
             ('es_aggregate_snapshot', 'version', 'integer', false),
             ('es_aggregate_snapshot', 'position', 'bigint', true)) AS w (tab, col, type, added)
LEFT JOIN pg_attribute a ON a.attrelid = to_regclass(w.tab) AND a.attname = w.col AND NOT a.attisdropped
WHERE CASE WHEN a.attname IS NULL THEN NOT w.added
           WHEN w.type = 'text' THEN format_type(a.atttypid, NULL) NOT IN ('text', 'character varying', 'character')
           ELSE format_type(a.atttypid, NULL) <> w.type END
LIMIT 1
