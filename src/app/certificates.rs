//! Shows when the certificates expire that the configuration names.

use super::App;
use crate::config::{Accounts, Settings};
use crate::delivery::CertificateFile;
use crate::domain::Timestamp;
use std::collections::BTreeMap;

/// At most this many files have a series, those that expire first.
const FILES_MAX: usize = 200;

impl App {
    /// Shows the certificates of `accounts` and of the settings.
    pub(super) fn show_certificates(&self, accounts: &Accounts) {
        let of_webhooks = accounts.webhooks.values().flat_map(|(it, _)| &it.tls.certificates);
        let of_settings = self.certificates.iter();
        let mut files: BTreeMap<&str, Timestamp> = BTreeMap::new();
        for CertificateFile { path, expires_at } in of_webhooks.chain(of_settings) {
            files.insert(path, *expires_at);
        }
        let mut files: Vec<(&str, Timestamp)> = files.into_iter().collect();
        files.sort_by_key(|(_, expires_at)| *expires_at);
        files.truncate(FILES_MAX);
        let files = files.into_iter().map(|(file, at)| (file.to_owned(), at)).collect();
        self.metrics.set_certificates(&files);
    }
}

/// Reads the certificates of Kafka's clients and of the accounts' database.
pub(super) fn of_settings(settings: &Settings) -> Vec<CertificateFile> {
    let database = settings.accounts_database.as_ref().and_then(|it| it.tls.as_ref());
    let mut files: Vec<CertificateFile> =
        database.map(|tls| tls.certificates.clone()).unwrap_or_default();
    let read = |property: &str, read: fn(&str, &[u8]) -> Option<CertificateFile>| {
        let path = settings.kafka.client.get(property)?;
        // librdkafka reports a file that can't be read.
        read(path, &std::fs::read(path).ok()?)
    };
    files.extend(read("ssl.certificate.location", CertificateFile::of_chain));
    files.extend(read("ssl.ca.location", CertificateFile::of_authorities));
    files
}
