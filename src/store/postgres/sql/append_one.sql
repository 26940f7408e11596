-- One event behind a known version: check and insert in one statement. $1 type of the aggregate, $2 its id, $3 the expected
-- version, $4 event type, $5 data, $6 metadata, $7 time (NULL: now), $8 token. Version and position, or no row if the
-- version was another. The id is drawn after the aggregate's row was locked.
WITH moved AS (
    UPDATE es_aggregates SET version = version + 1
    WHERE id = $2 AND version = $3::bigint AND aggregate_type = $1::text
    RETURNING id, version)
INSERT INTO es_events
    (transaction_id, aggregate_id, version, event_type, json_data, aggregate_type, metadata, append_id, created_at)
SELECT pg_current_xact_id(), m.id, m.version, $4::text, $5::json, $1::text, $6::json, $8::uuid,
       coalesce($7::timestamptz, now())
FROM moved m
RETURNING version::bigint, id
