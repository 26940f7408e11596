-- The partitions of subscription $1 in its newest layout, as $2 finds them, with the relay that has the lease; locked until
-- the transaction ends.
SELECT c.layout, n.partitions, c.partition, c.delivered, c.position, c.generation, c.fingerprint IS NOT NULL,
       CASE WHEN c.lease_until > clock_timestamp() AND c.lease_until <= clock_timestamp() + c.lease_length
                 AND c.lease_holder <> $2::text THEN c.lease_holder END
FROM (SELECT layout, partitions FROM meowmx_layouts WHERE subscription = $1::text
      UNION ALL
      SELECT 0, 1 WHERE NOT EXISTS (SELECT FROM meowmx_layouts WHERE subscription = $1::text)
      ORDER BY layout DESC LIMIT 1) n
JOIN meowmx_checkpoints c ON c.layout = n.layout
WHERE c.subscription = $1::text
ORDER BY c.partition
FOR UPDATE OF c
