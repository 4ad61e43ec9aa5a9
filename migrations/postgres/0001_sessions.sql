-- The table of the PostgreSQL store, version 12 of PostgreSQL and later. `Postgres::migrate` runs
-- this with the configured names in place of these; for a table of another name, replace all three.

-- Times are milliseconds since the Unix epoch by this server's clock, and timeouts milliseconds:
-- exact, and the same in every time zone. To read one: to_timestamp(expires_at / 1000.0).
CREATE TABLE IF NOT EXISTS "token_sessions" (
    key              bytea  PRIMARY KEY CHECK (octet_length(key) = 16),
    data             bytea  NOT NULL,
    details          bytea  NOT NULL DEFAULT '',
    version          bigint NOT NULL,
    idle_ms          bigint,
    absolute_ms      bigint,
    created_at       bigint NOT NULL,
    last_seen        bigint NOT NULL,
    deadline         bigint,
    authenticated_at bigint,
    owner            text COLLATE "C",
    -- Digests of the token's secret and of the one before it. The statements look for them within the
    -- digests that a client claims, so a shorter one would match too easily.
    proof            bytea CHECK (octet_length(proof) = 33),
    previous_proof   bytea CHECK (octet_length(previous_proof) = 33),
    confirmed_at     bigint,
    sealed           bytea,
    -- Computed here, so no statement can get it wrong. least() ignores NULL, and a session without
    -- a timeout is refused.
    expires_at       bigint NOT NULL GENERATED ALWAYS AS (least(last_seen + idle_ms, deadline)) STORED
);

CREATE INDEX IF NOT EXISTS "token_sessions_expires_at" ON "token_sessions" (expires_at);

CREATE INDEX IF NOT EXISTS "token_sessions_owner" ON "token_sessions" (owner, created_at, key)
    WHERE owner IS NOT NULL;
