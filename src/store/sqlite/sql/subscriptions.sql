-- The checkpoints in the newest layouts, all or those of ?1, and how far they lag at the time ?2. What no relay has the
-- lease of does not run, whatever its row says.
SELECT c.subscription, c.layout, c.partition, c.delivered, c.fingerprint, c.position, c.generation, c.epoch,
       CASE WHEN c.epoch > 0 AND c.state IN ('RUNNING', 'RESTARTING') AND (c.lease_until IS NULL OR c.lease_until <= ?2)
            THEN 'UNASSIGNED' ELSE c.state END,
       c.reason, c.error_class, coalesce(c.error_position, 0), c.paused, c.stop_kept, c.resume_from_store,
       max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'es_events'), 0) - c.position, 0),
       coalesce((SELECT CASE WHEN e.created_at IS NULL THEN -1 ELSE max(?2 - e.created_at, 0) END
                 FROM es_events e WHERE e.id > c.position ORDER BY e.id LIMIT 1), 0),
       c.progressed_at, c.state_at, CASE WHEN c.lease_until > ?2 THEN c.lease_holder END,
       (SELECT count(*) FROM meowmx_dead_letters d WHERE d.subscription = c.subscription AND d.discarded_at IS NULL)
FROM meowmx_checkpoints c
WHERE (?1 IS NULL OR c.subscription = ?1)
  AND c.layout >= coalesce((SELECT max(l.layout) FROM meowmx_layouts l WHERE l.subscription = c.subscription), 0)
ORDER BY c.subscription, c.layout, c.partition
