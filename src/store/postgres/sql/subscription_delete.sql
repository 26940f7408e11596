-- Forgets subscription $1, with its layouts and dead letters, if nobody works on it; with $2 in any case.
WITH gone AS (
    DELETE FROM meowmx_checkpoints
    WHERE subscription = $1::text
      AND ($2::boolean OR NOT EXISTS (SELECT FROM meowmx_checkpoints w WHERE w.subscription = $1::text
                                      AND coalesce(w.state, 'UNASSIGNED') <> 'UNASSIGNED'))
    RETURNING subscription
), layouts AS (
    DELETE FROM meowmx_layouts WHERE subscription = $1::text AND EXISTS (SELECT FROM gone)
), relays AS (
    DELETE FROM meowmx_relays WHERE subscription = $1::text AND EXISTS (SELECT FROM gone)
), letters AS (
    DELETE FROM meowmx_dead_letters WHERE subscription = $1::text AND EXISTS (SELECT FROM gone)
)
SELECT subscription FROM gone
