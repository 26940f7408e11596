-- Whether partition ?3 of layout ?2 of subscription ?1 is still of epoch ?4 and generation ?5.
SELECT 1 FROM meowmx_checkpoints
WHERE subscription = ?1 AND layout = ?2 AND partition = ?3 AND epoch = ?4 AND generation = ?5
