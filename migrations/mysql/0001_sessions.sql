-- The tables of the MySQL store, for MySQL 8.0 and MariaDB 10.6 and later. `MySql::migrate` runs
-- this with the configured names in place of these.

-- Times are milliseconds since the Unix epoch by this server's clock, and timeouts milliseconds:
-- exact, and the same in every time zone. To read one: FROM_UNIXTIME(expires_at / 1000).
CREATE TABLE IF NOT EXISTS `token_sessions` (
    -- A row's place in the table. Keys are random: as the primary key they would scatter the inserts
    -- over all of it. No number is given twice, so it tells a row from a later one under its key.
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
    -- UTF-8, compared byte by byte: as text, 'anna' and 'anna ' would be one owner.
    `owner`            VARBINARY(255)  NULL,
    -- One byte for the scheme, and a digest of the token's secret: of the current one, and of the one
    -- before it while that is handed over, and after that.
    `proof`            BINARY(33)      NULL,
    `previous_proof`   BINARY(33)      NULL,
    -- When the current secret was first used. Until then `sealed` holds it, and only the previous
    -- secret opens that.
    `confirmed_at`     BIGINT          NULL,
    `sealed`           VARBINARY(1024) NULL,
    -- Here, so that no statement can get it wrong. What is not set never ends: the number is the
    -- largest there is, for LEAST() gives NULL where anything is NULL.
    `expires_at`       BIGINT GENERATED ALWAYS AS (
        LEAST(IFNULL(`last_seen` + `idle_ms`, 9223372036854775807),
              IFNULL(`deadline`, 9223372036854775807))
    ) STORED,
    UNIQUE KEY `key` (`key`),
    KEY `expires_at` (`expires_at`),
    KEY `owner` (`owner`, `created_at`)
) ENGINE = InnoDB;

-- Locked while an owner's sessions are counted against a limit. Each row stands for many owners,
-- and is made when it is first needed: there are never more than 1024.
CREATE TABLE IF NOT EXISTS `token_sessions_locks` (
    `slot` SMALLINT UNSIGNED NOT NULL PRIMARY KEY
) ENGINE = InnoDB;
