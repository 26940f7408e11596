-- One event: ?1 transaction, ?2 and ?3 its aggregate's id and type, ?4 version, ?5 type, ?6 data, ?7 metadata, ?8 token,
-- ?9 time. Returns its position.
INSERT INTO es_events
    (transaction_id, aggregate_id, aggregate_type, version, event_type, json_data, metadata, append_id, created_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
RETURNING id
