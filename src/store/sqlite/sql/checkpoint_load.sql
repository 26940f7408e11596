-- The checkpoint of partition ?3 of layout ?2 of subscription ?1; how many dead letters the subscription has, how old the
-- oldest is at the time ?4, and which aggregates they hold: from which position on and a colon, type and id, each behind
-- its size in bytes and a colon.
SELECT c.delivered, c.fingerprint, c.position, c.generation, c.epoch, c.state, c.reason, c.error_class,
       coalesce(c.error_position, 0), c.paused, c.stop_kept, c.resume_from_store, d.count, coalesce(max(?4 - d.oldest, 0), 0),
       (SELECT group_concat(h.first || ':' || length(CAST(h.aggregate_type AS BLOB)) || ':' || h.aggregate_type ||
                            length(CAST(h.aggregate_id AS BLOB)) || ':' || h.aggregate_id, '')
        FROM (SELECT min(position) AS first, aggregate_type, aggregate_id FROM meowmx_dead_letters
              WHERE subscription = ?1 AND discarded_at IS NULL
              GROUP BY aggregate_type, aggregate_id LIMIT 10001) h)
FROM meowmx_checkpoints c
CROSS JOIN (SELECT count(*) AS count, min(set_aside_at) AS oldest FROM meowmx_dead_letters
            WHERE subscription = ?1 AND discarded_at IS NULL) d
WHERE c.subscription = ?1 AND c.layout = ?2 AND c.partition = ?3
