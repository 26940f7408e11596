-- Settled positions need ids that follow the order in which they were drawn. The last columns are the sequence's name, with
-- its schema and as it is found here. No row if the ids have no sequence of their own.
SELECT s.seqcache, s.seqincrement, s.seqcycle, n.name, n.name::regclass::text
FROM (SELECT pg_get_serial_sequence('es_events', 'id') AS name) n
JOIN pg_sequence s ON s.seqrelid = n.name::regclass
