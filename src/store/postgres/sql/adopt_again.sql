-- How many of the events behind position $3 Python's checkpoint (transaction $1, event $2) has passed.
SELECT count(*) FROM es_events e WHERE e.id > $3::bigint AND (e.transaction_id, e.id) <= ($1::text::xid8, $2::bigint)
