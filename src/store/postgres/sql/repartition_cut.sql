-- The partitions of layout $2 of subscription $1, $3 of them, are to run up to position $5 and no further (0: this is not
-- known yet); the leases of $4 go back. That wakes who waits for them.
WITH cut AS (
    INSERT INTO meowmx_layouts (subscription, layout, partitions, cut)
    SELECT $1::text, $2::int, $3::int, $5::bigint WHERE $5::bigint > 0
    ON CONFLICT (subscription, layout) DO UPDATE SET cut = excluded.cut
), released AS (
    UPDATE meowmx_checkpoints SET lease_holder = NULL, lease_until = NULL
    WHERE subscription = $1::text AND layout = $2::int AND lease_holder = $4::text
)
SELECT pg_notify('meowmx', '')
