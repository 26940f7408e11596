-- The highest id drawn so far. A new sequence says 1 before any id is drawn.
SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM es_events_id_seq
