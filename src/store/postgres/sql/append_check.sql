-- Fails if the data $1 or the metadata $2 is not JSON: finds the event at fault.
SELECT $1::json IS NULL, $2::json IS NULL
