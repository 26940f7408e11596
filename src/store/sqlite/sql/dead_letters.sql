-- The dead letters of subscription ?1 that nobody has discarded: that at ?2 (0: all), those of aggregate ?3, ?4 (NULL: of all).
SELECT d.generation, d.position, d.aggregate_type, d.aggregate_id, d.version, d.event_type, d.error, d.error_class,
       d.set_aside_at, coalesce(d.retry_at, 0)
FROM meowmx_dead_letters d
WHERE d.subscription = ?1 AND d.discarded_at IS NULL AND (?2 = 0 OR d.position = ?2)
  AND (?3 IS NULL OR (d.aggregate_type = ?3 AND d.aggregate_id = ?4))
ORDER BY d.position
