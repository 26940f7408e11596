-- The last id below every event that Python's checkpoint (transaction $1, event $2) has not passed, at most $3, which was
-- proven settled by an earlier statement. The events beyond the checkpoint are found first, by Python's own index.
SELECT coalesce(min(u.id) - 1, $3::bigint)
FROM (SELECT e.id FROM es_events e
      WHERE (e.transaction_id, e.id) > ($1::text::xid8, $2::bigint) AND e.id <= $3::bigint
      OFFSET 0) u
