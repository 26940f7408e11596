-- What the tables are called in a store that is there already. Schema 1 did not say: its tables had Python meowmx's names.
SELECT coalesce(to_jsonb(m) ->> 'events', 'es_events'), coalesce(to_jsonb(m) ->> 'aggregates', 'es_aggregates'),
       coalesce(to_jsonb(m) ->> 'snapshots', 'es_aggregate_snapshot'),
       coalesce(to_jsonb(m) ->> 'subscriptions', 'es_event_subscriptions')
FROM meowmx_meta m
