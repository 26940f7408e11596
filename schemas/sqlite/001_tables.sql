-- The tables of PostgreSQL under the same names. Ids are text; json_data and metadata are kept byte for byte, and checked
-- to be JSON as RFC 8259 has it. AUTOINCREMENT never gives an id out twice, whatever was deleted. transaction_id is a
-- number drawn at random by each append: it tells an event from another that got its id after an older copy of the file
-- was put in place. Times are microseconds since 1970.
CREATE TABLE es_aggregates (
    id              TEXT PRIMARY KEY NOT NULL,
    version         INTEGER NOT NULL,
    aggregate_type  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE es_events (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    transaction_id  INTEGER NOT NULL DEFAULT 0,
    aggregate_id    TEXT NOT NULL REFERENCES es_aggregates (id),
    version         INTEGER NOT NULL,
    event_type      TEXT NOT NULL,
    json_data       TEXT NOT NULL CONSTRAINT data_is_json CHECK (json_valid(json_data)),
    aggregate_type  TEXT NOT NULL,
    metadata        TEXT CONSTRAINT metadata_is_json CHECK (metadata IS NULL OR json_valid(metadata)),
    append_id       TEXT,
    created_at      INTEGER,
    UNIQUE (aggregate_id, version)
) STRICT;

CREATE INDEX meowmx_events_category ON es_events (aggregate_type, id);

CREATE TABLE es_aggregate_snapshot (
    aggregate_id    TEXT NOT NULL REFERENCES es_aggregates (id) ON DELETE CASCADE,
    version         INTEGER NOT NULL,
    json_data       TEXT NOT NULL CONSTRAINT data_is_json CHECK (json_valid(json_data)),
    position        INTEGER,
    PRIMARY KEY (aggregate_id, version)
) STRICT, WITHOUT ROWID;
