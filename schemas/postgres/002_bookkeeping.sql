-- What is meowmx's own. The row of meowmx_meta is written last of all, when set-up is complete.
CREATE TABLE IF NOT EXISTS meowmx_meta (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    schema_version  integer NOT NULL,
    store_id        uuid NOT NULL
);

CREATE TABLE IF NOT EXISTS meowmx_checkpoints (
    subscription       text NOT NULL,
    layout             integer NOT NULL DEFAULT 0,
    partition          integer NOT NULL DEFAULT 0,
    delivered          bigint NOT NULL DEFAULT 0,
    fingerprint        text,
    position           bigint NOT NULL DEFAULT 0,
    generation         bigint NOT NULL DEFAULT 0,
    epoch              bigint NOT NULL DEFAULT 0,
    lease_holder       text,
    lease_until        timestamptz,
    paused             boolean NOT NULL DEFAULT false,
    state              text,
    reason             text,
    error_class        text,
    error_position     bigint,
    state_at           timestamptz,
    progressed_at      timestamptz,
    stop_kept          boolean NOT NULL DEFAULT false,
    resume_from_store  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (subscription, layout, partition)
);

-- Until when writers notify, in microseconds since 1970. A sequence, because it is read and set outside of snapshots;
-- unlogged where the server can, so that an idle relay writes no WAL.
DO $$
BEGIN
    IF to_regclass('meowmx_doze') IS NULL THEN
        IF current_setting('server_version_num')::int >= 150000 THEN
            EXECUTE 'CREATE UNLOGGED SEQUENCE meowmx_doze';
        ELSE
            EXECUTE 'CREATE SEQUENCE meowmx_doze';
        END IF;
    END IF;
END
$$;
