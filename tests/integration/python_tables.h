// python_tables.h: what setup_tables() of Python meowmx 0.4.1 makes, with ids of type UUID.
#ifndef INTEGRATION_PYTHON_TABLES_H
#define INTEGRATION_PYTHON_TABLES_H

static const char python_tables[] =
	"CREATE TABLE es_aggregates (id UUID PRIMARY KEY, version INTEGER NOT NULL, aggregate_type TEXT NOT NULL);"
	"CREATE INDEX idx_es_aggregate_aggregate_type ON es_aggregates (aggregate_type);"
	"CREATE TABLE es_events (id BIGSERIAL PRIMARY KEY, transaction_id XID8 NOT NULL,"
	" aggregate_id UUID NOT NULL REFERENCES es_aggregates (id), version INTEGER NOT NULL, EVENT_TYPE TEXT NOT NULL,"
	" json_data JSON NOT NULL, UNIQUE (aggregate_id, version));"
	"CREATE INDEX idx_es_event_transaction_id_id ON es_events (transaction_id, id);"
	"CREATE INDEX idx_es_event_aggregate_id ON es_events (aggregate_id);"
	"CREATE INDEX idx_es_event_version ON es_events (version);"
	"CREATE TABLE es_aggregate_snapshot (aggregate_id UUID NOT NULL REFERENCES es_aggregates (id),"
	" version INTEGER NOT NULL, json_data JSON NOT NULL, PRIMARY KEY (aggregate_id, version));"
	"CREATE INDEX idx_es_aggregate_snapshot_aggregate_id ON es_aggregate_snapshot (aggregate_id);"
	"CREATE INDEX idx_es_aggregate_snapshot_version ON es_aggregate_snapshot (version);"
	"CREATE TABLE es_event_subscriptions (subscription_name TEXT PRIMARY KEY, last_transaction_id XID8 NOT NULL,"
	" last_event_id BIGINT NOT NULL);"
	"CREATE FUNCTION channel_event_notify_fct() RETURNS TRIGGER AS $BODY$"
	" DECLARE aggregate_type TEXT;"
	" BEGIN SELECT a.aggregate_type INTO aggregate_type FROM es_aggregates a WHERE a.ID = NEW.aggregate_id;"
	" PERFORM pg_notify('channel_event_notify', aggregate_type); RETURN NEW; END; $BODY$ LANGUAGE PLPGSQL;"
	"CREATE TRIGGER channel_event_notify_trg AFTER INSERT ON es_events FOR EACH ROW"
	" EXECUTE PROCEDURE channel_event_notify_fct();";

// Its append, of an aggregate's first event and of a further one.
static const char python_first[] =
	"INSERT INTO es_aggregates (id, version, aggregate_type) VALUES ('%s', 0, 'order');"
	"INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data)"
	" VALUES (pg_current_xact_id(), '%s', 0, 'placed', '{\"n\": 0}')";

#endif
