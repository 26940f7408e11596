-- Events that a sink will never take, and what follows them of the same aggregate: set aside until a person decides.
-- (Schema 3.)
CREATE TABLE meowmx_dead_letters (
    subscription    TEXT NOT NULL,
    generation      INTEGER NOT NULL,
    position        INTEGER NOT NULL,
    aggregate_type  TEXT NOT NULL,
    aggregate_id    TEXT NOT NULL,
    version         INTEGER NOT NULL,
    event_type      TEXT NOT NULL,
    error           TEXT, -- NULL: it follows one that was refused
    error_class     TEXT,
    set_aside_at    INTEGER NOT NULL,
    discarded_at    INTEGER, -- NULL: it holds its aggregate
    PRIMARY KEY (subscription, generation, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX meowmx_dead_letters_open
    ON meowmx_dead_letters (subscription, aggregate_type, aggregate_id, position) WHERE discarded_at IS NULL;
