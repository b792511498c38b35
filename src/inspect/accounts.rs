//! The accounts in force: each setting with its value and the place that the value comes from.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

/// An account in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AccountLine {
    pub id: i64,
    /// Whether phase 2 is sent.
    pub notify_on_delivery: bool,
    /// Whether phase 2 contains the flow's keys.
    pub attach_flow_keys: bool,
    /// Whether flows trigger webhooks if neither a flow entry nor the record says so.
    pub webhook_enabled: Option<bool>,
    /// The name of the default webhook.
    pub default_webhook: Option<String>,
    /// The number of webhooks.
    pub webhooks: usize,
    /// The number of flow entries.
    pub flows: usize,
    /// The number of rules.
    pub rules: usize,
    /// The number of faults in rows of the database. The last good definitions are in force instead.
    pub faults: usize,
}

/// An account with its webhooks, flows and rules.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct AccountView {
    pub id: i64,
    /// Whether records of the account are processed. If not, its rows are all wrong.
    pub is_configured: bool,
    /// The settings in force. Secrets are not shown.
    pub settings: Vec<SettingView>,
    /// The faults of rows that are not in force.
    pub faults: Vec<FaultView>,
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct SettingView {
    /// The key in the form of faults: `account[28].http_enabled`, `webhook[crm].url`.
    pub key: String,
    pub value: Json,
    #[serde(flatten)]
    pub source: SettingSource,
}

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum SettingSource {
    /// The value is not set.
    Default,
    File {
        file: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<usize>,
    },
    Environment {
        variable: String,
    },
    Database {
        table: String,
        /// The row's id.
        row: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        column: Option<String>,
    },
    /// The value of this key of `ringback.toml` applies.
    Inherited {
        inherited_from: String,
    },
}

impl std::fmt::Display for SettingSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line: Some(line) } => write!(f, "{file}:{line}"),
            Self::File { file, line: None } => f.write_str(file),
            Self::Environment { variable } => write!(f, "variable {variable}"),
            Self::Database { table, row, column: Some(column) } => {
                write!(f, "table {table}, row {row}, column {column}")
            }
            Self::Database { table, row, column: None } => write!(f, "table {table}, row {row}"),
            Self::Inherited { inherited_from } => f.write_str(inherited_from),
        }
    }
}

/// A fault of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FaultView {
    pub table: String,
    /// The row's id.
    pub row: String,
    pub column: Option<String>,
    pub key: String,
    pub problem: String,
    /// How to fix it.
    pub fix: String,
}
