-- The tables that the default queries of [accounts.mysql] read. They work on MariaDB 10.5 and MySQL 8.0 or newer.
-- A column that is NULL counts as a key that is not set. `definition` holds all other keys as a JSON object.
-- The times of the changes tell the daemon whether it has to read the rows again. Rows that are changed without them are
-- not noticed.

CREATE TABLE IF NOT EXISTS Accountconfig (
    id BIGINT NOT NULL PRIMARY KEY,
    `account.sms.notifyOnDelivery` BOOLEAN NOT NULL DEFAULT FALSE,
    `account.sms.notifyOnDelivery.attachflowkeys` BOOLEAN NOT NULL DEFAULT FALSE,
    http_enabled BOOLEAN NOT NULL DEFAULT FALSE,
    webhook_enabled BOOLEAN NULL,
    rate VARCHAR(32) NULL,
    definition LONGTEXT NULL,
    updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    INDEX (updated_at)
) DEFAULT CHARSET utf8mb4;

CREATE TABLE IF NOT EXISTS ringback_webhook (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARCHAR(64) NOT NULL UNIQUE,
    account BIGINT NOT NULL,
    `default` BOOLEAN NOT NULL DEFAULT FALSE,
    url TEXT NOT NULL,
    method VARCHAR(16) NULL,
    -- {"type": "basic", "username": "phonon", "password": {"env": "CRM_PASSWORD"}}
    auth TEXT NULL,
    -- [{"file": "/run/secrets/crm"}]
    signing_secrets TEXT NULL,
    notes VARCHAR(1000) NULL,
    definition LONGTEXT NULL,
    updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    INDEX (account),
    INDEX (updated_at)
) DEFAULT CHARSET utf8mb4;

-- `id` is the flow's id in the platform, so that the row's own id has another name.
CREATE TABLE IF NOT EXISTS ringback_flow (
    row_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    account BIGINT NOT NULL,
    id BIGINT NOT NULL,
    webhook_enabled BOOLEAN NOT NULL,
    updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    UNIQUE (account, id),
    INDEX (updated_at)
) DEFAULT CHARSET utf8mb4;

CREATE TABLE IF NOT EXISTS ringback_rule (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    account BIGINT NOT NULL,
    flow BIGINT NULL,
    -- ["sms:FAILED"]
    `on` TEXT NOT NULL,
    webhook VARCHAR(64) NOT NULL,
    after VARCHAR(64) NULL,
    any_flow BOOLEAN NULL,
    -- {"when": [{"variable": "$flow.key.department", "equals": "sales"}]}
    definition LONGTEXT NULL,
    updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    INDEX (account),
    INDEX (updated_at)
) DEFAULT CHARSET utf8mb4;
