-- The checkpoints, all or that of $1, and how far they lag.
SELECT c.subscription, c.layout, c.partition, c.delivered, c.fingerprint, c.position, c.generation, c.epoch, c.state,
       c.reason, c.error_class, coalesce(c.error_position, 0), c.paused, c.stop_kept, c.resume_from_store,
       greatest(h.head - c.position, 0),
       coalesce((SELECT CASE WHEN e.created_at IS NULL THEN -1 ELSE
                    greatest((extract(epoch FROM clock_timestamp() - e.created_at) * 1000000)::bigint, 0) END
                 FROM es_events e WHERE e.id > c.position ORDER BY e.id LIMIT 1), 0),
       c.progressed_at, c.state_at
FROM meowmx_checkpoints c
CROSS JOIN (SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS head FROM es_events_id_seq) h
WHERE $1::text IS NULL OR c.subscription = $1::text
ORDER BY c.subscription, c.layout, c.partition
