//! The part of the configuration that the sink needs.

use crate::delivery::Secret;
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{ConnectionString, HostInfo};
use std::time::Duration;

/// `[sink.mongodb]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MongoSettings {
    /// The connection string, which may contain credentials.
    pub uri: Secret,
    /// The hosts of `uri`, which logs and pages may show.
    pub shown: String,
    pub database: String,
    pub collection: String,
    /// The field of a document that contains the id of its SMS.
    pub id_field: String,
    /// The field in which the answers are written, by webhook-id. Dots separate the names of nested documents.
    pub field: String,
    /// What happens if there is no document of an SMS.
    pub missing: MissingDocument,
    /// When a write counts as acknowledged.
    pub write_concern: WriteConcern,
    /// The maximum number of documents in a batch.
    pub batch_documents_max: usize,
    /// The maximum size of the answers in a batch, in bytes. One event may exceed it.
    pub batch_bytes_max: usize,
    /// The limit of one command.
    pub request_timeout: Duration,
    /// The address of the sink's own `/metrics`, `/livez` and `/readyz`.
    pub listen: std::net::SocketAddr,
}

/// What the sink does if there is no document of an SMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingDocument {
    /// It counts the answer and does not write it.
    Skip,
    /// It creates the document.
    Upsert,
}

/// The servers that must have written a document before it counts as acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteConcern {
    /// The majority of the replica set.
    Majority,
    /// This number of servers, at least 1.
    Servers(u32),
}

/// Checks a connection string without a connection, and returns its hosts.
///
/// # Errors
/// The text is no connection string. The error says why, without quoting it.
pub fn check_uri(uri: &str) -> Result<String, String> {
    match ConnectionString::parse(uri) {
        Ok(parsed) => Ok(hosts(&parsed.host_info)),
        Err(error) => Err(problem(&error, uri)),
    }
}

/// Returns what is wrong with a connection string. The driver's own text may quote a part of it, which contains the
/// password if a character is missing or not encoded. Such a text is replaced.
pub(super) fn problem(error: &Error, uri: &str) -> String {
    let text = if let ErrorKind::InvalidArgument { message, .. } = &*error.kind {
        message.clone()
    } else {
        error.kind.to_string()
    };
    if matches!(&*error.kind, ErrorKind::DnsResolve { .. }) {
        // The name of a server is no secret.
        return text;
    }
    if text.contains("invalid server address") {
        "the servers are no list of HOST:PORT: name a host behind the user and the password, and percent-encode each of \
         the characters : / ? # [ ] @ in them"
            .to_owned()
    } else if text.contains("each entry in authMechanismProperties") {
        "each entry of authMechanismProperties must be NAME:VALUE".to_owned()
    } else if quotes(&text, uri) {
        "a part of it is wrong: percent-encode user and password, and check the values of the options".to_owned()
    } else {
        text
    }
}

/// Returns whether `text` contains a value of the connection string.
fn quotes(text: &str, uri: &str) -> bool {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let (before, options) = rest.split_once('?').unwrap_or((rest, ""));
    let named = options.split('&').filter_map(|option| option.split_once('='));
    let values = named.flat_map(|(_, value)| value.split([',', ':']));
    let password = rest.rsplit_once('@').and_then(|(login, _)| login.split_once(':'));
    let parts = before.split(['/', '@', ':', ',']).chain(values);
    let mut parts = parts.chain(password.map(|(_, password)| password));
    parts.any(|part| !matches!(part, "" | "true" | "false") && has_word(text, part))
}

/// Returns whether `text` contains `word`, and not only as a part of a longer word.
fn has_word(text: &str, word: &str) -> bool {
    let pieces: Vec<&str> = text.split(word).collect();
    let ends = |side: Option<char>| side.is_none_or(|letter| !letter.is_alphanumeric());
    let mut around = pieces.iter().zip(pieces.iter().skip(1));
    around.any(|(before, after)| ends(before.chars().last()) && ends(after.chars().next()))
}

fn hosts(hosts: &HostInfo) -> String {
    match hosts {
        HostInfo::HostIdentifiers(all) => {
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        }
        HostInfo::DnsRecord(name) => name.clone(),
        // Another kind in a later version of the driver.
        _ => "its servers".to_owned(),
    }
}
