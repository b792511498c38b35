//! `[accounts]` and `[accounts.mysql]`.

use crate::document::SecretText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Accounts, webhooks and flows.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct AccountsSection {
    /// file: the accounts are in the file or directory that `file` names. mysql: they are in a database.
    pub(in crate::config::settings) source: SourceName,
    /// The accounts file, or a directory whose files *.toml count as one file. SIGHUP reads it and this file again.
    #[schemars(length(min = 1))]
    pub(in crate::config::settings) file: String,
    /// The database for source = "mysql".
    pub(in crate::config::settings) mysql: Option<Mysql>,
}

impl Default for AccountsSection {
    fn default() -> Self {
        Self { source: SourceName::File, file: "accounts.toml".to_owned(), mysql: None }
    }
}

/// Where accounts are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum SourceName {
    /// In a file or a directory.
    File,
    /// In a database of MySQL or MariaDB.
    Mysql,
}

/// A database of MySQL or MariaDB with accounts, webhooks, flows and rules.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Mysql {
    /// The database: mysql://user:password@host:3306/database. The user needs the right to SELECT only.
    pub(in crate::config::settings) url: Option<SecretText>,
    /// required: the connection uses TLS, and the server's certificate is checked. off: it does not use TLS.
    pub(in crate::config::settings) tls: TlsName,
    /// PEM file of the authorities to trust instead of the public ones.
    pub(in crate::config::settings) ca_file: Option<String>,
    /// PEM file of the client certificate with its chain.
    pub(in crate::config::settings) client_certificate_file: Option<String>,
    /// PEM file of the client certificate's key.
    pub(in crate::config::settings) client_key_file: Option<String>,
    /// Maximum number of connections. The daemon uses two: with one, it does not look up accounts while it reads all rows.
    #[schemars(range(min = 1, max = 32))]
    pub(in crate::config::settings) pool_size: usize,
    /// Time between the end of a reading and the beginning of the next one.
    #[schemars(range(min = 1, max = 3600))]
    pub(in crate::config::settings) poll_interval_s: u64,
    /// Time limit of a reading, from the connection to the last row. If it passes, the database counts as unreachable.
    #[schemars(range(min = 1, max = 600))]
    pub(in crate::config::settings) read_timeout_s: u64,
    /// Time that a record of an unknown account waits while the database can't be asked. Then it becomes a dead letter. The records behind it in its partition wait too.
    #[schemars(range(min = 0, max = 86400))]
    pub(in crate::config::settings) unknown_account_wait_s: u64,
    /// Whether rows can refer to secrets as { env = "NAME" } and { file = "PATH" }, and to template files. Secrets of this file and the files of the store are never open to rows. Set it to false if customers write definitions themselves.
    pub(in crate::config::settings) references: bool,
    /// The query of accounts: one row for each account with a column for each setting, or one row for each setting with the columns account_id, name and value. Default: the table Accountconfig.
    #[schemars(length(min = 1))]
    pub(in crate::config::settings) accounts_query: Option<String>,
    /// The query of webhooks: columns named like the keys of [[webhook]], and definition with the other keys as a JSON object. Default: the table ringback_webhook.
    #[schemars(length(min = 1))]
    pub(in crate::config::settings) webhooks_query: Option<String>,
    /// The query of flows: columns named like the keys of [[flow]]. Default: the table ringback_flow.
    #[schemars(length(min = 1))]
    pub(in crate::config::settings) flows_query: Option<String>,
    /// The query of rules: columns named like the keys of [[rule]], and definition. Default: the table ringback_rule.
    #[schemars(length(min = 1))]
    pub(in crate::config::settings) rules_query: Option<String>,
    /// A query whose first row changes with every change of the others' rows, so that an unchanged database is not read again. Default: none if another query is set.
    #[schemars(length(min = 1))]
    pub(in crate::config::settings) version_query: Option<String>,
}

impl Default for Mysql {
    fn default() -> Self {
        Self {
            url: None,
            tls: TlsName::Required,
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
            pool_size: 2,
            poll_interval_s: 5,
            read_timeout_s: 20,
            unknown_account_wait_s: 60,
            references: true,
            accounts_query: None,
            webhooks_query: None,
            flows_query: None,
            rules_query: None,
            version_query: None,
        }
    }
}

/// Whether a connection uses TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum TlsName {
    /// It does, and the server's certificate is checked.
    Required,
    /// It does not.
    Off,
}
