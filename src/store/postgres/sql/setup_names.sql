-- Four names as SQL takes them, and whether the tables of postgresql-event-sourcing are there.
SELECT quote_ident($1::text), quote_ident($2::text), quote_ident($3::text), quote_ident($4::text),
       to_regclass('es_event') IS NOT NULL AND to_regclass('es_aggregate') IS NOT NULL
