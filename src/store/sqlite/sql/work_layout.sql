-- Subscription ?1 is a handler's from now on, which is what -1 partitions say, unless it is something already.
INSERT INTO meowmx_layouts (subscription, layout, partitions)
SELECT ?1, 0, -1 WHERE NOT EXISTS (SELECT 1 FROM meowmx_layouts WHERE subscription = ?1)
