-- One event, the version check and the insert in one statement. $1 type of the aggregate, $2 its id, $3 the expected
-- version (-1 new, -2 any), $4 event type, $5 data, $6 metadata, $7 time (NULL: now), $8 token. One row: version and
-- position, NULL if the version was another. The id is drawn after the aggregate's row was locked.
WITH moved AS (
    UPDATE es_aggregates SET version = version + 1
    WHERE id = $2 AND version = $3::bigint AND $3::bigint >= 0 AND aggregate_type = $1::text
    RETURNING id, version),
created AS (
    INSERT INTO es_aggregates AS a (id, version, aggregate_type)
    SELECT $2, 0, $1::text WHERE $3::bigint < 0
    ON CONFLICT (id) DO UPDATE SET version = a.version + 1
        WHERE a.aggregate_type = excluded.aggregate_type AND ($3::bigint = -2 OR a.version = -1)
    RETURNING id, version),
added AS (
    INSERT INTO es_events
        (transaction_id, aggregate_id, version, event_type, json_data, aggregate_type, metadata, append_id, created_at)
    SELECT pg_current_xact_id(), o.id, o.version, $4::text, $5::json, $1::text, $6::json, $8::uuid,
           coalesce($7::timestamptz, now())
    FROM (SELECT id, version FROM moved UNION ALL SELECT id, version FROM created) o
    RETURNING id, version)
SELECT max(version)::bigint, max(id) FROM added
