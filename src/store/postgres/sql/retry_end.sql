-- The retries of $6 (JSON) are over for partition $3 of layout $2 of subscription $1, if it is still of epoch $4 and
-- generation $5: else no row is returned. What was published closes its dead letter; what has an error leaves it open, and
-- later ones of its aggregate as well, whose retries are off.
WITH owner AS (
    SELECT c.generation FROM meowmx_checkpoints c
    WHERE c.subscription = $1::text AND c.layout = $2::int AND c.partition = $3::int AND c.epoch = $4::bigint
      AND c.generation = $5::bigint
    FOR UPDATE
), ended AS (
    UPDATE meowmx_dead_letters d
    SET discarded_at = CASE WHEN l.error IS NULL THEN clock_timestamp() END,
        retry_at = CASE WHEN l.error IS NULL THEN d.retry_at END,
        error = CASE WHEN d.retry_at = l.retry_at THEN coalesce(l.error, d.error) ELSE d.error END,
        error_class = CASE WHEN d.retry_at = l.retry_at THEN coalesce(l.error_class, d.error_class) ELSE d.error_class END
    FROM owner o CROSS JOIN set_config('synchronous_commit', 'on', true)
    CROSS JOIN json_to_recordset($6::json) AS l(retry_at bigint, aggregate_type text, aggregate_id text, error text,
                                                error_class text)
    WHERE d.subscription = $1::text AND d.discarded_at IS NULL
      AND (d.retry_at = l.retry_at OR (l.error IS NOT NULL AND d.retry_at > l.retry_at
                                       AND d.aggregate_type = l.aggregate_type AND d.aggregate_id = l.aggregate_id))
)
SELECT true FROM owner
