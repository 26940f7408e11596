-- Appending and reading events in psql, after `meowmx setup`:
--
--   psql -X -v ON_ERROR_STOP=1 -f append.psql.sql postgresql://localhost/shop
\set QUIET on
\pset tuples_only on
\pset format unaligned
\pset fieldsep ' '
SELECT gen_random_uuid() AS id, gen_random_uuid() AS payment \gset

-- A new order, in one transaction with whatever else belongs to it: all of it is committed, or nothing.
BEGIN;
SELECT 'appended version', version
FROM meowmx_append('order', :'id', -1, '[{"type": "OrderPlaced", "data": {"customer": "Mimi", "total": 12.50}}]');
COMMIT;

-- Whoever expects another version than is there appends nothing. (\errverbose shows the detail too.)
\set ON_ERROR_STOP off
\o /dev/null
\set VERBOSITY sqlstate
SELECT * FROM meowmx_append('order', :'id', -1, '[{"type": "OrderPlaced", "data": {}}]');
\o
\set ON_ERROR_STOP on
\echo refused with :LAST_ERROR_SQLSTATE

-- An append_id makes a call repeatable: sent twice, it counts once, and both are told the same.
SELECT 'appended version', version
FROM meowmx_append('order', :'id', 0, '[{"type": "OrderPaid", "data": {"method": "card"}}]', :'payment');
SELECT 'appended version', version
FROM meowmx_append('order', :'id', 0, '[{"type": "OrderPaid", "data": {"method": "card"}}]', :'payment');

SELECT version, type, data FROM meowmx_load('order', :'id');

-- Everything behind a position, in order, settled events alone. A reader keeps the last position and asks again.
SELECT 'read', count(*), 'events' FROM meowmx_read(0, 1000) WHERE aggregate_id = :'id';
