-- What is meowmx's own.
CREATE TABLE meowmx_meta (
    one             INTEGER PRIMARY KEY DEFAULT 1 CHECK (one = 1),
    schema_version  INTEGER NOT NULL,
    store_id        TEXT NOT NULL
) STRICT;

CREATE TABLE meowmx_checkpoints (
    subscription       TEXT NOT NULL,
    layout             INTEGER NOT NULL DEFAULT 0,
    partition          INTEGER NOT NULL DEFAULT 0,
    delivered          INTEGER NOT NULL DEFAULT 0,
    fingerprint        TEXT,
    position           INTEGER NOT NULL DEFAULT 0,
    generation         INTEGER NOT NULL DEFAULT 0,
    epoch              INTEGER NOT NULL DEFAULT 0,
    lease_holder       TEXT,
    lease_until        INTEGER,
    paused             INTEGER NOT NULL DEFAULT 0,
    state              TEXT,
    reason             TEXT,
    error_class        TEXT,
    error_position     INTEGER,
    state_at           INTEGER,
    progressed_at      INTEGER,
    stop_kept          INTEGER NOT NULL DEFAULT 0,
    resume_from_store  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (subscription, layout, partition)
) STRICT, WITHOUT ROWID;
