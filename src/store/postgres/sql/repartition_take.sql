-- The leases of all partitions in layout $3 of subscription $1 are $2's for one minute; their new epochs.
UPDATE meowmx_checkpoints
SET epoch = greatest(epoch + 1, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint), lease_holder = $2::text,
    lease_until = clock_timestamp() + interval '1 minute', lease_length = interval '1 minute'
FROM set_config('synchronous_commit', 'on', true)
WHERE subscription = $1::text AND layout = $3::int
RETURNING partition, epoch
