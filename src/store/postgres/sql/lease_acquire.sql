-- Relay $4 asks for the lease of partition $2 of subscription $1, for $5 ms; its configuration has $3 partitions. A lease
-- of epoch $6 that stood at $7 has expired, whatever the clock says. $8: even where other relays own fewer. $9: what
-- it publishes under this name; not where another relay that owns a partition publishes something else.
--
-- A lease that lies further ahead than its own length has expired, too: the clock was set back. Nothing is written while
-- another has it. (What was found is looked at again, under the row's lock, before it is changed.) set_config makes the
-- new epoch durable whatever synchronous_commit says. An epoch is at least the milliseconds since 1970, so that those of a
-- row that was deleted, or of a store that was restored, begin above what a sink remembers.
WITH known AS (
    SELECT layout, partitions, cut FROM meowmx_layouts WHERE subscription = $1::text ORDER BY layout DESC LIMIT 1
), made AS (
    INSERT INTO meowmx_layouts (subscription, layout, partitions)
    SELECT $1::text, 0,
           CASE WHEN EXISTS (SELECT FROM meowmx_checkpoints WHERE subscription = $1::text) THEN 1 ELSE $3::int END
    WHERE NOT EXISTS (SELECT FROM known)
    ON CONFLICT DO NOTHING
    RETURNING layout, partitions, cut
), newest AS (
    SELECT layout, partitions, cut FROM known UNION ALL SELECT layout, partitions, cut FROM made
), alive AS (
    INSERT INTO meowmx_relays (subscription, relay, until, length, publishes)
    SELECT $1::text, $4::text, clock_timestamp() + $5::bigint * interval '1 ms', $5::bigint * interval '1 ms', $9::text
    WHERE NOT EXISTS (SELECT FROM meowmx_relays WHERE subscription = $1::text AND relay = $4::text
                      AND until - clock_timestamp() BETWEEN $5::bigint * interval '0.7 ms' AND $5::bigint * interval '1 ms')
    ON CONFLICT (subscription, relay) DO UPDATE SET until = excluded.until, length = excluded.length
), gone AS (
    DELETE FROM meowmx_relays WHERE subscription = $1::text AND until < clock_timestamp() - interval '1 day'
), found AS (
    SELECT c.epoch, c.position, c.lease_holder, c.lease_until, c.lease_length,
           (extract(epoch FROM c.lease_until) * 1000000)::bigint AS until_us,
           c.lease_until > clock_timestamp() AND c.lease_until <= clock_timestamp() + c.lease_length
           AND c.lease_holder <> $4::text AND (c.epoch, (extract(epoch FROM c.lease_until) * 1000000)::bigint)
               IS DISTINCT FROM ($6::bigint, $7::bigint) AS taken
    FROM meowmx_checkpoints c JOIN newest n ON c.layout = n.layout
    WHERE c.subscription = $1::text AND c.partition = $2::int
), owned AS (
    SELECT c.lease_holder AS relay, count(*) AS partitions
    FROM meowmx_checkpoints c JOIN newest n ON c.layout = n.layout
    WHERE c.subscription = $1::text AND c.lease_until > clock_timestamp()
      AND c.lease_until <= clock_timestamp() + c.lease_length
    GROUP BY c.lease_holder
), rival AS (
    SELECT r.relay, r.publishes FROM owned o JOIN meowmx_relays r ON r.relay = o.relay
    WHERE r.subscription = $1::text AND r.relay <> $4::text AND r.publishes <> $9::text
    LIMIT 1
), shares AS (
    SELECT coalesce((SELECT o.partitions FROM owned o WHERE o.relay = $4::text), 0) AS mine,
           coalesce((SELECT min(coalesce(o.partitions, 0)) FROM meowmx_relays r LEFT JOIN owned o ON o.relay = r.relay
                     WHERE r.subscription = $1::text AND r.relay <> $4::text AND r.until > clock_timestamp()
                       AND r.until <= clock_timestamp() + r.length), 2147483647) AS least
), taken AS (
    INSERT INTO meowmx_checkpoints AS c (subscription, layout, partition, epoch, lease_holder, lease_until, lease_length)
    SELECT $1::text, n.layout, $2::int, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, $4::text,
           clock_timestamp() + $5::bigint * interval '1 ms', $5::bigint * interval '1 ms'
    FROM newest n CROSS JOIN shares s CROSS JOIN set_config('synchronous_commit', 'on', true)
    WHERE n.partitions = $3::int AND ($8::boolean OR s.mine <= s.least
           OR $4::text = (SELECT lease_holder FROM found))
      AND NOT EXISTS (SELECT FROM found WHERE taken) AND NOT EXISTS (SELECT FROM rival)
      AND (n.cut IS NULL OR n.cut > coalesce((SELECT position FROM found), 0))
    ON CONFLICT (subscription, layout, partition) DO UPDATE SET
        epoch = greatest(c.epoch + 1, excluded.epoch), lease_holder = excluded.lease_holder, lease_until = excluded.lease_until,
        lease_length = excluded.lease_length
    WHERE c.lease_until IS NULL OR c.lease_holder = $4::text OR c.lease_until <= clock_timestamp()
       OR c.lease_until > clock_timestamp() + c.lease_length
       OR (c.epoch = $6::bigint AND (extract(epoch FROM c.lease_until) * 1000000)::bigint = $7::bigint)
    RETURNING c.epoch
)
SELECT coalesce(n.layout, 0), coalesce(n.partitions, 0), s.mine::int, least(s.least, 2147483647)::int, t.epoch,
       coalesce(f.epoch, 0), CASE WHEN f.taken THEN f.lease_holder END, coalesce(f.until_us, 0),
       coalesce(extract(epoch FROM f.lease_length) * 1000, 0)::bigint,
       coalesce(extract(epoch FROM f.lease_until - clock_timestamp()) * 1000000, 0)::bigint, coalesce(n.cut, 0),
       v.relay, v.publishes
FROM shares s LEFT JOIN newest n ON true LEFT JOIN found f ON true LEFT JOIN taken t ON true
LEFT JOIN rival v ON true
