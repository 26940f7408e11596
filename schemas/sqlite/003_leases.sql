-- Leases: how long each was given for; how many partitions a subscription is split into; which relays run it. (Schema 2.)
ALTER TABLE meowmx_checkpoints ADD COLUMN lease_length INTEGER;

CREATE TABLE meowmx_layouts (
    subscription  TEXT NOT NULL,
    layout        INTEGER NOT NULL,
    partitions    INTEGER NOT NULL,
    cut           INTEGER, -- they run up to here and no further: another layout is to follow
    PRIMARY KEY (subscription, layout)
) STRICT, WITHOUT ROWID;

CREATE TABLE meowmx_relays (
    subscription  TEXT NOT NULL,
    relay         TEXT NOT NULL,
    until         INTEGER NOT NULL,
    length        INTEGER NOT NULL,
    PRIMARY KEY (subscription, relay)
) STRICT, WITHOUT ROWID;
