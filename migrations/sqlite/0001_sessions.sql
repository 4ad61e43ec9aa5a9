-- The table of the SQLite store, for SQLite 3.35 and later. `Sqlite::migrate` runs this with the
-- configured name in place of this one; for a table of another name, replace all three.

-- Times are milliseconds since the Unix epoch, and timeouts milliseconds. To read one:
-- datetime(expires_at / 1000, 'unixepoch').
CREATE TABLE IF NOT EXISTS "token_sessions" (
    key              BLOB    NOT NULL UNIQUE CHECK (length(key) = 32),
    data             BLOB    NOT NULL,
    version          INTEGER NOT NULL,
    idle_ms          INTEGER,
    absolute_ms      INTEGER CHECK (idle_ms IS NOT NULL OR absolute_ms IS NOT NULL),
    created_at       INTEGER NOT NULL,
    last_seen        INTEGER NOT NULL,
    deadline         INTEGER,
    authenticated_at INTEGER,
    owner            TEXT,
    label            TEXT,
    -- Here, so that no statement can get it wrong. What is not set never ends: the number is the
    -- largest there is, for min() gives NULL where anything is NULL.
    expires_at       INTEGER NOT NULL GENERATED ALWAYS AS (
        min(ifnull(last_seen + idle_ms, 9223372036854775807), ifnull(deadline, 9223372036854775807))
    ) STORED
);

CREATE INDEX IF NOT EXISTS "token_sessions_expires_at" ON "token_sessions" (expires_at);

CREATE INDEX IF NOT EXISTS "token_sessions_owner" ON "token_sessions" (owner, created_at)
    WHERE owner IS NOT NULL;
