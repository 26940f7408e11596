-- A dead letter that is published again has a position drawn for that. (Schema 5.)
ALTER TABLE meowmx_dead_letters ADD COLUMN IF NOT EXISTS retry_at bigint; -- kept once it was published there
CREATE INDEX IF NOT EXISTS meowmx_dead_letters_retry
    ON meowmx_dead_letters (subscription, retry_at) WHERE retry_at IS NOT NULL;

-- What relays publish under the name, by their configurations.
ALTER TABLE meowmx_relays ADD COLUMN IF NOT EXISTS publishes text;
