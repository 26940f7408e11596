-- Set-up is complete: schema $1, and the names of the tables, $2 to $5.
INSERT INTO meowmx_meta AS m (schema_version, store_id, events, aggregates, snapshots, subscriptions)
VALUES ($1::int, gen_random_uuid(), $2::text, $3::text, $4::text, $5::text)
ON CONFLICT (one) DO UPDATE SET
    schema_version = excluded.schema_version, events = excluded.events, aggregates = excluded.aggregates,
    snapshots = excluded.snapshots, subscriptions = excluded.subscriptions
WHERE m.schema_version < excluded.schema_version
