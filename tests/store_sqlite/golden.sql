-- A file as this layout of the store writes it: a session in the middle of a handover, and one without
-- an owner, a proof and an idle timeout.
CREATE TABLE "token_sessions" (
    key              BLOB    NOT NULL UNIQUE CHECK (length(key) = 16),
    version          INTEGER NOT NULL,
    idle_ms          INTEGER,
    absolute_ms      INTEGER CHECK (idle_ms IS NOT NULL OR absolute_ms IS NOT NULL),
    created_at       INTEGER NOT NULL CHECK (typeof(created_at) = 'integer'),
    last_seen        INTEGER NOT NULL,
    deadline         INTEGER,
    expires_at       INTEGER NOT NULL GENERATED ALWAYS AS (
        min(ifnull(last_seen + idle_ms, 9223372036854775807), ifnull(deadline, 9223372036854775807))
    ) STORED,
    authenticated_at INTEGER,
    owner            TEXT,
    proof            BLOB CHECK (length(proof) = 33),
    previous_proof   BLOB CHECK (length(previous_proof) = 33),
    confirmed_at     INTEGER,
    sealed           BLOB,
    details          BLOB    NOT NULL DEFAULT x'',
    data             BLOB    NOT NULL
);
CREATE INDEX "token_sessions_expires_at" ON "token_sessions" (expires_at);
CREATE INDEX "token_sessions_owner" ON "token_sessions" (owner, created_at, key)
    WHERE owner IS NOT NULL;
INSERT INTO "token_sessions"
    (key, version, idle_ms, absolute_ms, created_at, last_seen, deadline, authenticated_at, owner,
     proof, previous_proof, confirmed_at, sealed, details, data)
VALUES
    (x'00112233445566778899aabbccddeeff', 281474976710654, 3153600000000, 3153600000000,
     1700000000000, 1700000060000, 4853600000000, 1700000000000, 'Anna',
     x'010202020202020202020202020202020202020202020202020202020202020202',
     x'020101010101010101010101010101010101010101010101010101010101010101',
     NULL, x'7365616c6564', CAST('1{"label":"Anna''s phone"}' AS BLOB), CAST('{"a":1}' AS BLOB)),
    (x'ffeeddccbbaa99887766554433221100', 17, NULL, 3153600000000,
     1700000000000, 1700000000000, 4853600000000, NULL, NULL,
     NULL, NULL, NULL, NULL, x'', x'00ff');
