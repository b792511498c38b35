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
        self.metrics.set_certificates(&first(of_webhooks.chain(of_settings)));
    }
}

/// Returns the files that expire first. A file that is used for two purposes expires at the earlier time.
fn first<'a>(all: impl Iterator<Item = &'a CertificateFile>) -> BTreeMap<String, Timestamp> {
    let mut files: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for CertificateFile { path, expires_at } in all {
        let known = files.entry(path).or_insert(*expires_at);
        *known = *expires_at.min(known);
    }
    let mut files: Vec<(&str, Timestamp)> = files.into_iter().collect();
    files.sort_by_key(|(_, expires_at)| *expires_at);
    files.truncate(FILES_MAX);
    files.into_iter().map(|(file, at)| (file.to_owned(), at)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_that_expire_first_are_shown_each_with_its_earlier_time() {
        let file = |number: i64, at: i64| CertificateFile {
            path: format!("{number}.pem").into(),
            expires_at: Timestamp::from_ms(at),
        };
        let all: Vec<CertificateFile> = (0..300)
            .map(|number| file(number, 1000 - number))
            .chain([file(299, 9000), file(7, 1)])
            .collect();
        let shown = first(all.iter());
        assert_eq!(shown.len(), FILES_MAX);
        assert_eq!(shown.get("7.pem"), Some(&Timestamp::from_ms(1)));
        assert_eq!(shown.get("299.pem"), Some(&Timestamp::from_ms(701)));
        assert_eq!(shown.get("8.pem"), None, "it expires last");
    }
}
