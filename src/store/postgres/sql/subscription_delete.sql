-- Forgets subscription $1, with its layouts and dead letters, unless a relay has the lease of one of its partitions.
WITH found AS (
    SELECT c.lease_until > clock_timestamp() AND c.lease_until <= clock_timestamp() + c.lease_length AS held
    FROM meowmx_checkpoints c WHERE c.subscription = $1::text
    FOR UPDATE
), gone AS (
    DELETE FROM meowmx_checkpoints
    WHERE subscription = $1::text AND NOT EXISTS (SELECT FROM found WHERE held)
    RETURNING subscription
), layouts AS (
    DELETE FROM meowmx_layouts WHERE subscription = $1::text AND EXISTS (SELECT FROM gone)
), relays AS (
    DELETE FROM meowmx_relays WHERE subscription = $1::text AND EXISTS (SELECT FROM gone)
), letters AS (
    DELETE FROM meowmx_dead_letters WHERE subscription = $1::text AND EXISTS (SELECT FROM gone)
)
SELECT subscription FROM gone
