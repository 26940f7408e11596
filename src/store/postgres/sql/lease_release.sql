-- Relay $4 gives back its lease, of epoch $5 (0: any), of partition $3 in layout $2 of subscription $1, and wakes who waits for it;
-- the epoch stays. $6: it runs the subscription no more.
WITH released AS (
    UPDATE meowmx_checkpoints SET lease_holder = NULL, lease_until = NULL
    WHERE subscription = $1::text AND layout = $2::int AND partition = $3::int AND $5::bigint IN (0, epoch)
      AND lease_holder = $4::text
    RETURNING true
), gone AS (
    DELETE FROM meowmx_relays WHERE $6::boolean AND subscription = $1::text AND relay = $4::text
)
SELECT pg_notify('meowmx', '') FROM released
