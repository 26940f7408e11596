-- How subscription $1 was split over time, the oldest layout first: the cut where each ended, and the last generation in
-- which it published.
SELECT l.layout, l.partitions, coalesce(l.cut, 0), coalesce(max(c.generation), 0)
FROM meowmx_layouts l
LEFT JOIN meowmx_checkpoints c ON c.subscription = l.subscription AND c.layout = l.layout
WHERE l.subscription = $1::text
GROUP BY l.layout, l.partitions, l.cut
ORDER BY l.layout
