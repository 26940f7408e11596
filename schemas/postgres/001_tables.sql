-- The four tables of Python meowmx 0.4.1, column for column, so that its writers, readers and workers go on working on
-- the same database. AGGREGATE_ID_TYPE is chosen at set-up from a checked list.
CREATE TABLE IF NOT EXISTS es_aggregates (
    id              AGGREGATE_ID_TYPE PRIMARY KEY,
    version         integer NOT NULL,
    aggregate_type  text NOT NULL
);

CREATE TABLE IF NOT EXISTS es_events (
    id              bigserial PRIMARY KEY,
    transaction_id  xid8 NOT NULL,
    aggregate_id    AGGREGATE_ID_TYPE NOT NULL REFERENCES es_aggregates (id),
    version         integer NOT NULL,
    event_type      text NOT NULL,
    json_data       json NOT NULL,
    UNIQUE (aggregate_id, version)
);

CREATE TABLE IF NOT EXISTS es_aggregate_snapshot (
    aggregate_id    AGGREGATE_ID_TYPE NOT NULL REFERENCES es_aggregates (id),
    version         integer NOT NULL,
    json_data       json NOT NULL,
    PRIMARY KEY (aggregate_id, version)
);

CREATE TABLE IF NOT EXISTS es_event_subscriptions (
    subscription_name    text PRIMARY KEY,
    last_transaction_id  xid8 NOT NULL,
    last_event_id        bigint NOT NULL
);
