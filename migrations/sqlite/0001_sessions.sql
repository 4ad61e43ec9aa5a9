-- The table of the SQLite store, for SQLite 3.35 and later. `Sqlite::migrate` runs this with the
-- configured name in place of this one; for a table of another name, replace all three.

-- Times are milliseconds since the Unix epoch, and timeouts milliseconds. To read one:
-- datetime(expires_at / 1000, 'unixepoch').
CREATE TABLE IF NOT EXISTS "token_sessions" (
    key              BLOB    NOT NULL UNIQUE CHECK (length(key) = 16),
    version          INTEGER NOT NULL,
    idle_ms          INTEGER,
    absolute_ms      INTEGER CHECK (idle_ms IS NOT NULL OR absolute_ms IS NOT NULL),
    -- What the pages of an owner's list go by, so a value of another type must not get in.
    created_at       INTEGER NOT NULL CHECK (typeof(created_at) = 'integer'),
    last_seen        INTEGER NOT NULL,
    deadline         INTEGER,
    -- Here, so that no statement can get it wrong. A time that is not set is the largest number: min()
    -- gives NULL where anything is NULL.
    expires_at       INTEGER NOT NULL GENERATED ALWAYS AS (
        min(ifnull(last_seen + idle_ms, 9223372036854775807), ifnull(deadline, 9223372036854775807))
    ) STORED,
    authenticated_at INTEGER,
    owner            TEXT,
    -- The proof of the current secret. The next three columns are of the secret before it, if that was
    -- handed over: its proof, when the current one was first used, and the current one, sealed.
    proof            BLOB CHECK (length(proof) = 33),
    previous_proof   BLOB CHECK (length(previous_proof) = 33),
    confirmed_at     INTEGER,
    sealed           BLOB,
    details          BLOB    NOT NULL DEFAULT x'',
    -- Last: SQLite reads a row up to the last column that a statement names, so that a look at the
    -- other columns reads no large data.
    data             BLOB    NOT NULL
);

CREATE INDEX IF NOT EXISTS "token_sessions_expires_at" ON "token_sessions" (expires_at);

CREATE INDEX IF NOT EXISTS "token_sessions_owner" ON "token_sessions" (owner, created_at, key)
    WHERE owner IS NOT NULL;
