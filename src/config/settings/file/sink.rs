//! The keys of `[sink]`.

use crate::document::SecretText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Databases into which the command `sink` writes answers.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Sink {
    /// The database into which the command `sink mongodb` writes the answers of endpoints. The daemon does not use it.
    pub(in crate::config::settings) mongodb: Option<MongoDb>,
}

/// The database into which the command `sink mongodb` writes the answers of endpoints.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["uri", "database"]))]
pub(in crate::config) struct MongoDb {
    /// The connection string: mongodb://user:password@host:port/?options or mongodb+srv://…
    #[schemars(required)]
    pub(in crate::config::settings) uri: Option<SecretText>,
    /// The database.
    #[schemars(required)]
    pub(in crate::config::settings) database: Option<String>,
    /// The collection with one document for each SMS.
    pub(in crate::config::settings) collection: String,
    /// The field of a document that contains the id of its SMS, as text. It needs an index, with missing = "upsert" a unique one.
    pub(in crate::config::settings) id_field: String,
    /// The field that is written. It contains an answer for each webhook-id.
    pub(in crate::config::settings) field: String,
    /// "skip": an answer without a document is counted and not written. "upsert": the document is created.
    pub(in crate::config::settings) missing: Missing,
    /// When a write counts as acknowledged: "majority", or a number of servers.
    pub(in crate::config::settings) write_concern: WriteConcern,
    /// Maximum number of answers that are written together.
    #[schemars(range(min = 1, max = 100_000))]
    pub(in crate::config::settings) batch_documents_max: usize,
    /// Maximum size of the answers that are written together. A single event may exceed it.
    #[schemars(range(min = 1, max = 67_108_864))]
    pub(in crate::config::settings) batch_bytes_max: usize,
    /// Time limit of a write. A write that takes longer is repeated.
    #[schemars(range(min = 1, max = 600_000))]
    pub(in crate::config::settings) request_timeout_ms: u64,
    /// Address and port of the sink's own /metrics, /livez and /readyz. An address other than loopback needs http.token.
    pub(in crate::config::settings) listen: String,
}

impl Default for MongoDb {
    fn default() -> Self {
        Self {
            uri: None,
            database: None,
            collection: "SMSDetailDocument".to_owned(),
            id_field: "_id".to_owned(),
            field: "notify_on_delivery".to_owned(),
            missing: Missing::Skip,
            write_concern: WriteConcern::Word(Word::Majority),
            batch_documents_max: 1000,
            batch_bytes_max: 4_194_304,
            request_timeout_ms: 10_000,
            listen: "127.0.0.1:9465".to_owned(),
        }
    }
}

/// The action for an SMS without a document.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Missing {
    /// The answer is not written.
    Skip,
    /// The document is created.
    Upsert,
}

/// The servers that must have written a document.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum WriteConcern {
    /// A word.
    Word(Word),
    /// A number of servers.
    Servers(#[schemars(range(min = 1, max = 50))] u32),
}

/// The words for a number of servers.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Word {
    /// More than half of the servers that vote.
    Majority,
}
