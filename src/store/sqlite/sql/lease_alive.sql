-- Relay ?2 runs subscription ?1, until ?3, which lies ?4 us ahead, and publishes ?5.
INSERT INTO meowmx_relays (subscription, relay, until, length, publishes) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (subscription, relay) DO UPDATE SET until = excluded.until, length = excluded.length,
    publishes = coalesce(excluded.publishes, publishes)
