-- Relay $4 renews its lease, of epoch $6, of partition $3 in layout $2 of subscription $1, for $5 ms; and how the
-- partitions are shared. Without the lease in the first column. A crash may take a renewal back: then it expires early. So it
-- waits for no disk.
WITH renewed AS (
    UPDATE meowmx_checkpoints
    SET lease_until = clock_timestamp() + $5::bigint * interval '1 ms', lease_length = $5::bigint * interval '1 ms'
    FROM set_config('synchronous_commit', 'off', true)
    WHERE subscription = $1::text AND layout = $2::int AND partition = $3::int AND epoch = $6::bigint
      AND lease_holder = $4::text
    RETURNING true
), alive AS (
    INSERT INTO meowmx_relays (subscription, relay, until, length)
    SELECT $1::text, $4::text, clock_timestamp() + $5::bigint * interval '1 ms', $5::bigint * interval '1 ms'
    WHERE NOT EXISTS (SELECT FROM meowmx_relays WHERE subscription = $1::text AND relay = $4::text
                      AND until - clock_timestamp() BETWEEN $5::bigint * interval '0.7 ms' AND $5::bigint * interval '1 ms')
    ON CONFLICT (subscription, relay) DO UPDATE SET until = excluded.until, length = excluded.length
), owned AS (
    SELECT c.lease_holder AS relay, count(*) AS partitions, count(*) FILTER (WHERE c.partition > $3::int) AS above
    FROM meowmx_checkpoints c
    WHERE c.subscription = $1::text AND c.layout = $2::int AND c.lease_until > clock_timestamp()
      AND c.lease_until <= clock_timestamp() + c.lease_length
    GROUP BY c.lease_holder
)
SELECT EXISTS (SELECT FROM renewed),
       coalesce((SELECT o.partitions FROM owned o WHERE o.relay = $4::text), 0)::int,
       coalesce((SELECT min(coalesce(o.partitions, 0)) FROM meowmx_relays r LEFT JOIN owned o ON o.relay = r.relay
                 WHERE r.subscription = $1::text AND r.relay <> $4::text AND r.until > clock_timestamp()
                   AND r.until <= clock_timestamp() + r.length), 2147483647)::int,
       coalesce((SELECT o.above FROM owned o WHERE o.relay = $4::text), 0)::int
