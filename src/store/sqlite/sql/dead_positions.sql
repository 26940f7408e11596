-- Which positions from ?2 to ?3 hold events that were set aside for subscription ?1, whatever became of them since.
SELECT DISTINCT d.position FROM meowmx_dead_letters d
WHERE d.subscription = ?1 AND d.position BETWEEN ?2 AND ?3
ORDER BY d.position
