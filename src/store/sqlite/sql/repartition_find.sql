-- The partitions of subscription ?1 in its newest layout, as ?2 finds them at ?3, with the relay that has the lease.
WITH newest AS (
    SELECT layout, partitions FROM meowmx_layouts WHERE subscription = ?1
    UNION ALL
    SELECT 0, 1 WHERE NOT EXISTS (SELECT 1 FROM meowmx_layouts WHERE subscription = ?1)
    ORDER BY layout DESC LIMIT 1
)
SELECT c.layout, n.partitions, c.partition, c.delivered, c.position, c.generation, c.epoch, c.fingerprint IS NOT NULL,
       CASE WHEN c.lease_until > ?3 AND c.lease_until <= ?3 + c.lease_length AND c.lease_holder <> ?2
            THEN c.lease_holder END
FROM meowmx_checkpoints c JOIN newest n ON c.layout = n.layout
WHERE c.subscription = ?1
ORDER BY c.partition
