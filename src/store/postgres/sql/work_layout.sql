-- Subscription $1 is a handler's from now on, which is what -1 partitions say, unless it is something already. Returns what
-- it is: the partitions of its newest layout; no row if it became something at this very moment.
WITH made AS (
    INSERT INTO meowmx_layouts (subscription, layout, partitions)
    SELECT $1::text, 0, -1 WHERE NOT EXISTS (SELECT FROM meowmx_layouts WHERE subscription = $1::text)
    ON CONFLICT DO NOTHING
    RETURNING layout, partitions)
SELECT partitions::bigint
FROM (SELECT layout, partitions FROM made
      UNION ALL SELECT layout, partitions FROM meowmx_layouts WHERE subscription = $1::text) l
ORDER BY layout DESC LIMIT 1
