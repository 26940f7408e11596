-- The first layout of subscription ?1: ?2 partitions.
INSERT INTO meowmx_layouts (subscription, layout, partitions) VALUES (?1, 0, ?2)
