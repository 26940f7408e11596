-- Partition ?2 in the newest layout of subscription ?1 as relay ?3, whose leases last ?5 us, finds it at ?4: the layout and
-- its partitions, the lease, how the partitions are shared, whether this relay counts for long enough yet, and whether
-- the subscription has a checkpoint; and a relay that owns one and publishes something else than ?6.
WITH newest AS (
    SELECT layout, partitions, cut FROM meowmx_layouts WHERE subscription = ?1 ORDER BY layout DESC LIMIT 1
), owned AS (
    SELECT c.lease_holder AS relay, count(*) AS partitions, sum(c.partition > ?2) AS above
    FROM meowmx_checkpoints c JOIN newest n ON c.layout = n.layout
    WHERE c.subscription = ?1 AND c.lease_until > ?4 AND c.lease_until <= ?4 + c.lease_length
    GROUP BY c.lease_holder
)
SELECT coalesce(n.layout, 0), coalesce(n.partitions, 0), coalesce(c.epoch, 0), c.lease_holder, coalesce(c.lease_until, 0),
       coalesce(c.lease_length, 0),
       coalesce((SELECT o.partitions FROM owned o WHERE o.relay = ?3), 0),
       coalesce((SELECT min(coalesce(o.partitions, 0)) FROM meowmx_relays r LEFT JOIN owned o ON o.relay = r.relay
                 WHERE r.subscription = ?1 AND r.relay <> ?3 AND r.until > ?4 AND r.until <= ?4 + r.length), 2147483647),
       coalesce((SELECT o.above FROM owned o WHERE o.relay = ?3), 0),
       EXISTS (SELECT 1 FROM meowmx_relays r WHERE r.subscription = ?1 AND r.relay = ?3
               AND r.until BETWEEN ?4 + ?5 / 10 * 7 AND ?4 + ?5),
       EXISTS (SELECT 1 FROM meowmx_checkpoints e WHERE e.subscription = ?1), coalesce(n.cut, 0), coalesce(c.position, 0),
       v.relay, v.publishes
FROM (SELECT 1) LEFT JOIN newest n ON true
LEFT JOIN meowmx_checkpoints c ON c.subscription = ?1 AND c.layout = n.layout AND c.partition = ?2
LEFT JOIN (SELECT r.relay, r.publishes FROM owned o JOIN meowmx_relays r ON r.relay = o.relay
           WHERE r.subscription = ?1 AND r.relay <> ?3 AND r.publishes <> ?6 LIMIT 1) v ON true
