-- The tables of the MySQL store, for MySQL 8.0 and MariaDB 10.6 and later. `MySql::migrate` runs
-- this with the configured names in place of these.

-- Times are milliseconds since the Unix epoch by this server's clock, and timeouts milliseconds:
-- exact, and the same in every time zone. To read one: FROM_UNIXTIME(expires_at / 1000).
CREATE TABLE IF NOT EXISTS `token_sessions` (
    -- The primary key, so that inserts go to the end of the table. Keys are random and would scatter
    -- them. No number is used twice, so it tells a row from a later one under the same key.
    `id`               BIGINT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    `key`              BINARY(16)      NOT NULL,
    `data`             LONGBLOB        NOT NULL,
    -- What the manager keeps beside the data, such as the label.
    `details`          VARBINARY(4096) NOT NULL DEFAULT '',
    `version`          BIGINT          NOT NULL,
    `idle_ms`          BIGINT          NULL,
    `absolute_ms`      BIGINT          NULL,
    `created_at`       BIGINT          NOT NULL,
    `last_seen`        BIGINT          NOT NULL,
    `deadline`         BIGINT          NULL,
    `authenticated_at` BIGINT          NULL,
    -- UTF-8, compared byte by byte. As text, 'anna' and 'anna ' would be the same owner.
    `owner`            VARBINARY(255)  NULL,
    -- Proofs of the current secret, and of the one that was handed over to it: one byte for the scheme,
    -- and a digest of 32 bytes.
    `proof`            BINARY(33)      NULL,
    `previous_proof`   BINARY(33)      NULL,
    -- When the current secret was first used. Until then `sealed` holds it, encrypted under the previous
    -- secret.
    `confirmed_at`     BIGINT          NULL,
    `sealed`           VARBINARY(1024) NULL,
    -- Computed here, so that no statement can get it wrong. The number is the largest BIGINT and stands
    -- for a timeout that is not set: LEAST() is NULL if one of its arguments is.
    `expires_at`       BIGINT GENERATED ALWAYS AS (
        LEAST(IFNULL(`last_seen` + `idle_ms`, 9223372036854775807),
              IFNULL(`deadline`, 9223372036854775807))
    ) STORED,
    UNIQUE KEY `key` (`key`),
    KEY `expires_at` (`expires_at`),
    KEY `owner` (`owner`, `created_at`)
) ENGINE = InnoDB;

-- Locked while an owner's sessions are counted against a limit. Each row stands for many owners and is
-- inserted when it is first needed; there are never more than 1024.
CREATE TABLE IF NOT EXISTS `token_sessions_locks` (
    `slot` SMALLINT UNSIGNED NOT NULL PRIMARY KEY
) ENGINE = InnoDB;
