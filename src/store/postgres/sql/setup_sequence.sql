-- Settled positions need ids that follow the order in which they were drawn.
SELECT s.seqcache, s.seqincrement, s.seqcycle,
       pg_get_serial_sequence('es_events', 'id')::regclass = s.seqrelid
FROM pg_sequence s WHERE s.seqrelid = to_regclass('es_events_id_seq')
