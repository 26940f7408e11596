-- As append_one.sql where the expected version $3 is -1 (new: no event yet) or -2 (any).
WITH moved AS (
    INSERT INTO es_aggregates AS a (id, version, aggregate_type) VALUES ($2, 0, $1::text)
    ON CONFLICT (id) DO UPDATE SET version = a.version + 1
        WHERE a.aggregate_type = excluded.aggregate_type AND ($3::bigint = -2 OR a.version = -1)
    RETURNING id, version)
INSERT INTO es_events
    (transaction_id, aggregate_id, version, event_type, json_data, aggregate_type, metadata, append_id, created_at)
SELECT pg_current_xact_id(), m.id, m.version, $4::text, $5::json, $1::text, $6::json, $8::uuid,
       coalesce($7::timestamptz, now())
FROM moved m
RETURNING version::bigint, id
