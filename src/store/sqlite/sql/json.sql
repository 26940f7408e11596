-- Fails if ?1 is no JSON.
SELECT json(?1)
