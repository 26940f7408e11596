-- Events that a sink will never take, and what follows them of the same aggregate: set aside until a person decides.
CREATE TABLE IF NOT EXISTS meowmx_dead_letters (
    subscription    text NOT NULL,
    generation      bigint NOT NULL,
    position        bigint NOT NULL,
    aggregate_type  text NOT NULL,
    aggregate_id    text NOT NULL,
    version         bigint NOT NULL,
    event_type      text NOT NULL,
    error           text, -- NULL: it follows one that was refused
    error_class     text,
    set_aside_at    timestamptz NOT NULL,
    discarded_at    timestamptz, -- NULL: it holds its aggregate
    PRIMARY KEY (subscription, generation, position)
);
CREATE INDEX IF NOT EXISTS meowmx_dead_letters_open
    ON meowmx_dead_letters (subscription, aggregate_type, aggregate_id, position) WHERE discarded_at IS NULL;
