-- Leases: how long each was given for; how many partitions a subscription is split into; which relays run it.
ALTER TABLE meowmx_checkpoints ADD COLUMN IF NOT EXISTS lease_length interval;

CREATE TABLE IF NOT EXISTS meowmx_layouts (
    subscription  text NOT NULL,
    layout        integer NOT NULL,
    partitions    integer NOT NULL,
    cut           bigint, -- they run up to here and no further: another layout is to follow
    PRIMARY KEY (subscription, layout)
);

CREATE TABLE IF NOT EXISTS meowmx_relays (
    subscription  text NOT NULL,
    relay         text NOT NULL,
    until         timestamptz NOT NULL,
    length        interval NOT NULL,
    PRIMARY KEY (subscription, relay)
);
