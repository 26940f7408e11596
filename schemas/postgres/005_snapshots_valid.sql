-- The scan that 004 left out: it locks out no writer.
DO $$
DECLARE
    unproven name;
BEGIN
    SELECT conname INTO unproven FROM pg_constraint
    WHERE conrelid = 'es_aggregate_snapshot'::regclass AND confrelid = 'es_aggregates'::regclass AND contype = 'f'
      AND NOT convalidated;
    IF FOUND THEN
        EXECUTE format('ALTER TABLE es_aggregate_snapshot VALIDATE CONSTRAINT %I', unproven);
    END IF;
END
$$;
