-- The highest id drawn so far, exactly. A SELECT of the sequence is no proof: every 32 ids, while nextval writes its log,
-- the page says 32 more than are drawn, and a scan takes the values out of the page without its lock. The function reads
-- under that lock. It also takes nextval's lock of the relation and keeps it to the end of the transaction, so this is
-- for statements that are one by themselves; transactions that may stay open ask load_candidate.sql. NULL is a sequence
-- that nothing was drawn from, or, from PostgreSQL 17 on, a lack of rights: then the SELECT says so.
SELECT coalesce(pg_sequence_last_value('es_events_id_seq'::regclass), (SELECT 0 FROM es_events_id_seq))
