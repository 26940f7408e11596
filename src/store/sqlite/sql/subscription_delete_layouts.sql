-- The layouts of subscription ?1.
DELETE FROM meowmx_layouts WHERE subscription = ?1
