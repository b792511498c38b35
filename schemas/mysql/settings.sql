-- Accountconfig with one row for each setting, as an alternative to the table in tables.sql. The default queries work with
-- both. Settings of other parts of the platform may be in the same table.

CREATE TABLE IF NOT EXISTS Accountconfig (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    account_id BIGINT NOT NULL,
    name VARCHAR(190) NOT NULL,
    value TEXT NULL,
    updated_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    UNIQUE (account_id, name),
    INDEX (updated_at)
) DEFAULT CHARSET utf8mb4;
