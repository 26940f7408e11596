-- What subscription ?1 is: the partitions of its newest layout, -1 for a handler's.
SELECT partitions FROM meowmx_layouts WHERE subscription = ?1 ORDER BY layout DESC LIMIT 1
