-- Fails if the aggregate in $1, the data $2 or the metadata $3 cannot be taken: finds the line at fault.
SELECT (SELECT count(p.id) FROM json_populate_recordset(NULL::es_aggregates, $1::json) p), $2::json IS NULL,
       $3::json IS NULL
