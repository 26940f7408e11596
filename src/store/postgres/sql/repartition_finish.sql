-- Layout $2 of subscription $1, whose $3 partitions all stand at position $5 and are still those of $4, is followed by one of
-- $6 partitions that begin there. No row where somebody else has taken one of the leases.
WITH ours AS (
    UPDATE meowmx_checkpoints SET lease_holder = NULL, lease_until = NULL, state = 'UNASSIGNED'
    WHERE subscription = $1::text AND layout = $2::int AND lease_holder = $4::text
    RETURNING generation
), made AS (
    INSERT INTO meowmx_layouts (subscription, layout, partitions)
    SELECT $1::text, $2::int + 1, $6::int FROM set_config('synchronous_commit', 'on', true)
    WHERE (SELECT count(*) FROM ours) = $3::int
    RETURNING layout
), ended AS (
    INSERT INTO meowmx_layouts (subscription, layout, partitions, cut)
    SELECT $1::text, $2::int, $3::int, $5::bigint FROM made
    ON CONFLICT (subscription, layout) DO UPDATE SET cut = excluded.cut
), begun AS (
    INSERT INTO meowmx_checkpoints
        (subscription, layout, partition, delivered, position, generation, state, state_at, progressed_at)
    SELECT $1::text, m.layout, p, $5::bigint, $5::bigint, (SELECT max(generation) FROM ours), 'UNASSIGNED',
           clock_timestamp(), clock_timestamp()
    FROM made m CROSS JOIN generate_series(0, $6::int - 1) p
)
SELECT layout FROM made, pg_notify('meowmx', '')
