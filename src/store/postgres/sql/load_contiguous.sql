-- The end of the run of ids without a gap behind $1, which is settled; at most 10,000 at a time.
SELECT coalesce(max(r.id), $1::bigint)
FROM (SELECT e.id, row_number() OVER (ORDER BY e.id) AS n
      FROM (SELECT id FROM es_events WHERE id > $1::bigint ORDER BY id LIMIT 10000) e) r
WHERE r.id = $1::bigint + r.n
