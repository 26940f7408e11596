-- Asks writers to notify during the next two seconds.
SELECT setval('meowmx_doze', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + 2000000)
