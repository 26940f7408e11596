-- Where Python's subscription $1 stands, locked against its workers. They hold this lock while they work.
SELECT last_transaction_id::text, last_event_id FROM es_event_subscriptions WHERE subscription_name = $1::text
FOR UPDATE NOWAIT
