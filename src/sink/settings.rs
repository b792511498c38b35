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
/// The text is no connection string. The error says why, without the credentials.
pub fn check_uri(uri: &str) -> Result<String, String> {
    match ConnectionString::parse(uri) {
        Ok(parsed) => Ok(hosts(&parsed.host_info)),
        Err(error) => Err(without_credentials(&problem(&error), uri)),
    }
}

fn problem(error: &Error) -> String {
    if let ErrorKind::InvalidArgument { message, .. } = &*error.kind {
        message.clone()
    } else {
        error.kind.to_string()
    }
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

/// Returns `text`, unless it quotes the password of `uri`.
fn without_credentials(text: &str, uri: &str) -> String {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let Some((credentials, _)) = rest.rsplit_once('@') else { return text.to_owned() };
    let password = credentials.split_once(':').map_or("", |(_, password)| password);
    match !password.is_empty() && text.contains(password) {
        true => "user and password must be percent-encoded".to_owned(),
        false => text.to_owned(),
    }
}
