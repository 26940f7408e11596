-- Sets the events of $6 (JSON) aside for partition $3 of layout $2 of subscription $1, if it is still of epoch $4 and
-- generation $5: else no row is returned. What was set aside before stays as it is.
WITH owner AS (
    SELECT c.generation FROM meowmx_checkpoints c
    WHERE c.subscription = $1::text AND c.layout = $2::int AND c.partition = $3::int AND c.epoch = $4::bigint
      AND c.generation = $5::bigint
    FOR UPDATE
), letters AS (
    INSERT INTO meowmx_dead_letters (subscription, generation, position, aggregate_type, aggregate_id, version,
                                     event_type, error, error_class, set_aside_at)
    SELECT $1::text, o.generation, l.position, l.aggregate_type, l.aggregate_id, l.version, l.event_type, l.error,
           l.error_class, clock_timestamp()
    FROM owner o CROSS JOIN set_config('synchronous_commit', 'on', true)
    CROSS JOIN json_to_recordset($6::json) AS l(position bigint, aggregate_type text, aggregate_id text, version bigint,
                                                event_type text, error text, error_class text)
    ON CONFLICT DO NOTHING
)
SELECT true FROM owner
