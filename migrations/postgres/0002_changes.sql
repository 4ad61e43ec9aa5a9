-- Optional: the table tells what was changed, so that a `Cached` store forgets it at once.
-- `Postgres::migrate` runs this after 0001_sessions.sql where `PostgresBuilder::tell_changes` is on,
-- with the configured names in place of these; for a table of another name, replace all of them.

CREATE OR REPLACE FUNCTION "token_sessions_changed"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moment bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
BEGIN
    IF TG_LEVEL = 'ROW' THEN
        PERFORM pg_notify(TG_ARGV[0], encode(OLD.key, 'base64'));
    ELSIF TG_OP = 'TRUNCATE' THEN
        -- No key: any session.
        PERFORM pg_notify(TG_ARGV[0], '');
    -- No cache holds an expired session, so a sweep tells nothing.
    ELSIF (SELECT count(*) FROM gone WHERE expires_at > moment) >= 1000 THEN
        PERFORM pg_notify(TG_ARGV[0], '');
    ELSE
        PERFORM pg_notify(TG_ARGV[0], encode(key, 'base64')) FROM gone WHERE expires_at > moment;
    END IF;
    RETURN NULL;
END $$;

-- A touch changes none of these columns, so it is not told.
DO $do$ BEGIN
    CREATE TRIGGER "token_sessions_written" AFTER UPDATE ON "token_sessions"
        FOR EACH ROW WHEN (
            OLD.version <> NEW.version OR OLD.proof IS DISTINCT FROM NEW.proof
            OR OLD.confirmed_at IS DISTINCT FROM NEW.confirmed_at
        ) EXECUTE FUNCTION "token_sessions_changed"('token_sessions');
EXCEPTION WHEN duplicate_object THEN -- It exists already.
END $do$;

DO $do$ BEGIN
    CREATE TRIGGER "token_sessions_removed" AFTER DELETE ON "token_sessions"
        REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION "token_sessions_changed"('token_sessions');
EXCEPTION WHEN duplicate_object THEN -- It exists already.
END $do$;

DO $do$ BEGIN
    CREATE TRIGGER "token_sessions_emptied" AFTER TRUNCATE ON "token_sessions"
        FOR EACH STATEMENT EXECUTE FUNCTION "token_sessions_changed"('token_sessions');
EXCEPTION WHEN duplicate_object THEN -- It exists already.
END $do$;
