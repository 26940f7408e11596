-- Relay ?2 runs subscription ?1, until ?3, which lies ?4 us ahead.
INSERT INTO meowmx_relays (subscription, relay, until, length) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (subscription, relay) DO UPDATE SET until = excluded.until, length = excluded.length
