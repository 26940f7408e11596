-- What dead_letters.sql finds is to be published again, each at a position drawn for it, in their order; but one that
-- others of its aggregate stand before. Returns how many; and tells relays that doze. (The sequence is locked until this
-- commits, so nobody has read beyond these positions before.)
WITH wanted AS (
    SELECT d.generation, d.position FROM meowmx_dead_letters d CROSS JOIN set_config('synchronous_commit', 'on', true)
    WHERE d.subscription = $1::text AND d.discarded_at IS NULL AND d.retry_at IS NULL
      AND ($2::bigint = 0 OR (d.position = $2::bigint AND NOT EXISTS (
            SELECT FROM meowmx_dead_letters b
            WHERE b.subscription = d.subscription AND b.aggregate_type = d.aggregate_type
              AND b.aggregate_id = d.aggregate_id AND b.discarded_at IS NULL AND b.retry_at IS NULL
              AND b.position < d.position)))
      AND ($3::text IS NULL OR (d.aggregate_type = $3::text AND d.aggregate_id = $4::text))
    ORDER BY d.position
    FOR UPDATE OF d
), drawn AS (
    SELECT w.generation, w.position, nextval('es_events_id_seq') AS place FROM wanted w
), asked AS (
    UPDATE meowmx_dead_letters d SET retry_at = n.place FROM drawn n
    WHERE d.subscription = $1::text AND d.generation = n.generation AND d.position = n.position
    RETURNING d.position
)
SELECT count(*), pg_notify('meowmx', '')::text FROM asked
