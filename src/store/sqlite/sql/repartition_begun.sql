-- Partition ?3 in the new layout ?2 of subscription ?1 begins behind position ?4, with generation ?5; the time is ?6.
INSERT INTO meowmx_checkpoints
    (subscription, layout, partition, delivered, position, generation, state, state_at, progressed_at)
VALUES (?1, ?2, ?3, ?4, ?4, ?5, 'UNASSIGNED', ?6, ?6)
