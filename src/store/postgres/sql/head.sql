-- The highest id drawn so far, or for a moment up to 32 more (candidate.sql): whether there may be news, and no proof of
-- anything. A new sequence says 1 before any id is drawn.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM es_events_id_seq
