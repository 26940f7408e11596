-- The highest id given out by a transaction that has committed. Before the first there is no row.
SELECT seq FROM sqlite_sequence WHERE name = 'es_events'
