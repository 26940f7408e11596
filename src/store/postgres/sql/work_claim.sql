-- Whether this session is, from now on or already, the one that works on subscription $1. The lock ends with the session.
SELECT pg_try_advisory_lock(hashtextextended(m.store_id::text || ' ' || $1::text, 0)) FROM meowmx_meta m
