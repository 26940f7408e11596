-- Snapshots go with their aggregate. NOT VALID, so that writers wait for no scan; 005 looks at the rows.
DO $$
DECLARE
    old name;
BEGIN
    SELECT conname INTO old FROM pg_constraint
    WHERE conrelid = 'es_aggregate_snapshot'::regclass AND confrelid = 'es_aggregates'::regclass AND contype = 'f'
      AND confdeltype <> 'c';
    IF FOUND THEN
        EXECUTE format('ALTER TABLE es_aggregate_snapshot DROP CONSTRAINT %I, ADD CONSTRAINT %I '
                       'FOREIGN KEY (aggregate_id) REFERENCES es_aggregates (id) ON DELETE CASCADE NOT VALID', old, old);
    END IF;
END
$$;
