-- The table of the SQLite store, for SQLite 3.35 and later. `Sqlite::migrate` runs this with the
-- configured name in place of this one; for a table of another name, replace all three.

-- Times are milliseconds since the Unix epoch, and timeouts milliseconds. To read one:
-- datetime(expires_at / 1000, 'unixepoch').
CREATE TABLE IF NOT EXISTS "token_sessions" (
    key              BLOB    NOT NULL UNIQUE CHECK (length(key) = 16),
    version          INTEGER NOT NULL,
    idle_ms          INTEGER,
    absolute_ms      INTEGER CHECK (idle_ms IS NOT NULL OR absolute_ms IS NOT NULL),
    -- The order of an owner's list. A value of another type would break its pages.
    created_at       INTEGER NOT NULL CHECK (typeof(created_at) = 'integer'),
    last_seen        INTEGER NOT NULL,
    deadline         INTEGER,
    -- Computed here, so that every statement agrees. A missing time counts as the largest number, because
    -- min() is NULL if an argument is NULL.
    expires_at       INTEGER NOT NULL GENERATED ALWAYS AS (
        min(ifnull(last_seen + idle_ms, 9223372036854775807), ifnull(deadline, 9223372036854775807))
    ) STORED,
    authenticated_at INTEGER,
    owner            TEXT,
    -- The proof of the current secret. The next three columns are set after a handover: the proof of the
    -- previous secret, when the current secret was first used, and the current secret, sealed.
    proof            BLOB CHECK (length(proof) = 33),
    previous_proof   BLOB CHECK (length(previous_proof) = 33),
    confirmed_at     INTEGER,
    sealed           BLOB,
    details          BLOB    NOT NULL DEFAULT x'',
    -- The last column: SQLite reads a row only up to the last column that a statement needs, so other
    -- statements read no large data.
    data             BLOB    NOT NULL
);

CREATE INDEX IF NOT EXISTS "token_sessions_expires_at" ON "token_sessions" (expires_at);

CREATE INDEX IF NOT EXISTS "token_sessions_owner" ON "token_sessions" (owner, created_at, key)
    WHERE owner IS NOT NULL;
