-- The checkpoint of partition $3 of layout $2 of subscription $1; how many dead letters the subscription has, how old the
-- oldest is, and which aggregates they hold: from which position on, behind which one no more (0: for ever), and
-- type and id behind their sizes in bytes, with a colon behind each number.
-- What was discarded is still held behind what was delivered: it may be read again.
SELECT c.delivered, c.fingerprint, c.position, c.generation, c.epoch, c.state, c.reason, c.error_class,
       c.error_position, c.paused, c.stop_kept, c.resume_from_store, d.count,
       greatest((extract(epoch FROM clock_timestamp() - d.oldest) * 1000000)::bigint, 0),
       (SELECT string_agg(h.first || ':' || h.behind || ':' || octet_length(h.aggregate_type) || ':' || h.aggregate_type ||
                          octet_length(h.aggregate_id) || ':' || h.aggregate_id, '')
        FROM (SELECT min(position) AS first, aggregate_type, aggregate_id,
                     CASE WHEN bool_or(discarded_at IS NULL AND retry_at IS NULL) THEN 0
                          ELSE max(coalesce(retry_at, position)) END AS behind
              FROM meowmx_dead_letters
              WHERE subscription = $1::text AND (discarded_at IS NULL OR retry_at > c.delivered
                                               OR (generation = c.generation AND position > c.delivered))
              GROUP BY aggregate_type, aggregate_id LIMIT 10001) h)
FROM meowmx_checkpoints c
CROSS JOIN (SELECT count(*) AS count, min(set_aside_at) AS oldest FROM meowmx_dead_letters
            WHERE subscription = $1::text AND discarded_at IS NULL) d
WHERE c.subscription = $1::text AND c.layout = $2::int AND c.partition = $3::int
