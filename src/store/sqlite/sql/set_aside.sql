-- Sets the events of ?3 (JSON) aside for subscription ?1 in generation ?2, at the time ?4. What was set aside before stays as
-- it is.
INSERT INTO meowmx_dead_letters (subscription, generation, position, aggregate_type, aggregate_id, version, event_type,
                                 error, error_class, set_aside_at)
SELECT ?1, ?2, json_extract(l.value, '$.position'), json_extract(l.value, '$.aggregate_type'),
       json_extract(l.value, '$.aggregate_id'), json_extract(l.value, '$.version'),
       json_extract(l.value, '$.event_type'), json_extract(l.value, '$.error'), json_extract(l.value, '$.error_class'), ?4
FROM json_each(?3) l
WHERE true
ON CONFLICT DO NOTHING
