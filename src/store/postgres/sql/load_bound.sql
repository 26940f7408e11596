-- How far a relay has proven the store settled (schemas/postgres/010_read.sql).
SELECT meowmx_proven()
