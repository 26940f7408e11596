-- The highest id that can be seen: it was drawn. The sequence bounds it where an id was chosen by hand. It takes no lock
-- that would hold others back (candidate.sql), and what was drawn above it has nothing that could be loaded.
SELECT least(coalesce((SELECT max(id) FROM es_events), 0),
             (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM es_events_id_seq))
