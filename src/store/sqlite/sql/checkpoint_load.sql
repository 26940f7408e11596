-- The checkpoint of partition ?3 of layout ?2 of subscription ?1; how many dead letters the subscription has, how old the
-- oldest is at the time ?4, and which aggregates they hold: from which position on, behind which one no more (0: for
-- ever), and type and id behind their sizes in bytes, with a colon behind each number.
-- What was discarded is still held behind what was delivered: it may be read again.
SELECT c.delivered, c.fingerprint, c.position, c.generation, c.epoch, c.state, c.reason, c.error_class,
       coalesce(c.error_position, 0), c.paused, c.stop_kept, c.resume_from_store, d.count, coalesce(max(?4 - d.oldest, 0), 0),
       (SELECT group_concat(h.first || ':' || h.behind || ':' || length(CAST(h.aggregate_type AS BLOB)) || ':' || h.aggregate_type ||
                            length(CAST(h.aggregate_id AS BLOB)) || ':' || h.aggregate_id, '')
        FROM (SELECT min(position) AS first, aggregate_type, aggregate_id,
                     CASE WHEN max(discarded_at IS NULL AND retry_at IS NULL) THEN 0
                          ELSE max(coalesce(retry_at, position)) END AS behind
              FROM meowmx_dead_letters
              WHERE subscription = ?1 AND (discarded_at IS NULL OR retry_at > c.delivered
                                         OR (generation = c.generation AND position > c.delivered))
              GROUP BY aggregate_type, aggregate_id LIMIT 10001) h)
FROM meowmx_checkpoints c
CROSS JOIN (SELECT count(*) AS count, min(set_aside_at) AS oldest FROM meowmx_dead_letters
            WHERE subscription = ?1 AND discarded_at IS NULL) d
WHERE c.subscription = ?1 AND c.layout = ?2 AND c.partition = ?3
