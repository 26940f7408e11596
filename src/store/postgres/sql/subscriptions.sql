-- The checkpoints in the newest layouts, all or those of $1, and how far they lag. What no relay has the lease of does not
-- run, whatever its row says.
SELECT c.subscription, c.layout, c.partition, c.delivered, c.fingerprint, c.position, c.generation, c.epoch,
       CASE WHEN c.epoch > 0 AND c.state IN ('RUNNING', 'RESTARTING')
                 AND (c.lease_until IS NULL OR c.lease_until <= clock_timestamp()) THEN 'UNASSIGNED' ELSE c.state END,
       c.reason, c.error_class, coalesce(c.error_position, 0), c.paused, c.stop_kept, c.resume_from_store,
       greatest(h.head - c.position, 0),
       coalesce((SELECT CASE WHEN e.created_at IS NULL THEN -1 ELSE
                    greatest((extract(epoch FROM clock_timestamp() - e.created_at) * 1000000)::bigint, 0) END
                 FROM es_events e WHERE e.id > c.position ORDER BY e.id LIMIT 1), 0),
       c.progressed_at, c.state_at, CASE WHEN c.lease_until > clock_timestamp() THEN c.lease_holder END,
       (SELECT count(*) FROM meowmx_dead_letters d WHERE d.subscription = c.subscription AND d.discarded_at IS NULL)
FROM meowmx_checkpoints c
CROSS JOIN (SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS head FROM es_events_id_seq) h
WHERE ($1::text IS NULL OR c.subscription = $1::text)
  AND c.layout >= coalesce((SELECT max(l.layout) FROM meowmx_layouts l WHERE l.subscription = c.subscription), 0)
ORDER BY c.subscription, c.layout, c.partition
