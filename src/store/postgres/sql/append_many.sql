-- Several events, in one statement: as append_one.sql and append_first.sql, with $4 types, $5 data, $6 metadata and $7
-- times as arrays of one length, $9. One row: version and position of the last and all positions, NULL if the version was another.
WITH moved AS (
    UPDATE es_aggregates SET version = version + $9::int
    WHERE id = $2 AND version = $3::bigint AND $3::bigint >= 0 AND aggregate_type = $1::text
    RETURNING id, version),
created AS (
    INSERT INTO es_aggregates AS a (id, version, aggregate_type)
    SELECT $2, $9::int - 1, $1::text WHERE $3::bigint < 0
    ON CONFLICT (id) DO UPDATE SET version = a.version + $9::int
        WHERE a.aggregate_type = excluded.aggregate_type AND ($3::bigint = -2 OR a.version = -1)
    RETURNING id, version),
added AS (
    INSERT INTO es_events
        (transaction_id, aggregate_id, version, event_type, json_data, aggregate_type, metadata, append_id, created_at)
    SELECT pg_current_xact_id(), o.id, o.version - $9::int + e.n, e.type, e.data::json, $1::text, e.metadata::json,
           $8::uuid, coalesce(e.time, now())
    FROM (SELECT id, version FROM moved UNION ALL SELECT id, version FROM created) o
    CROSS JOIN unnest($4::text[], $5::text[], $6::text[], $7::timestamptz[]) WITH ORDINALITY
        AS e (type, data, metadata, time, n)
    ORDER BY e.n
    RETURNING id, version)
SELECT max(version)::bigint, max(id), array_agg(id ORDER BY version) FROM added
