-- Before dead_retry.sql, in its transaction: whoever is ending retries of the subscription is done then, and seen by what
-- comes next; whoever begins to waits.
SELECT FROM meowmx_checkpoints WHERE subscription = $1::text ORDER BY layout, partition FOR UPDATE
