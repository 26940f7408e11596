-- Layout ?2 of subscription ?1 has ?3 partitions, which run up to position ?4 and no further (NULL: for ever).
INSERT INTO meowmx_layouts (subscription, layout, partitions, cut) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (subscription, layout) DO UPDATE SET cut = excluded.cut
