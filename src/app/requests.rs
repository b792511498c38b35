//! Requests to apply another configuration: by a signal, or by a source whose accounts have changed.
//!
//! A request stays until it is taken, and only the newest accounts count. So the requests use a bounded amount of
//! memory.

use crate::accounts::Entries;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// A request to apply another configuration.
#[derive(Debug)]
pub(super) enum Request {
    /// Read both files again.
    Files,
    /// Use these accounts instead of the current ones.
    Accounts(Entries),
}

/// The channel of reload requests from signals and sources to the daemon. All clones are the same channel.
#[derive(Clone, Default)]
pub struct ReloadRequests(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    added: Notify,
}

#[derive(Default)]
struct Waiting {
    files: bool,
    accounts: Option<Entries>,
}

impl ReloadRequests {
    /// Requests that the daemon reads both files again.
    pub fn files(&self) {
        self.add(|waiting| waiting.files = true);
    }

    /// Requests that the daemon uses the accounts `entries`. They are used until the files are read again or newer
    /// entries come.
    pub fn accounts(&self, entries: Entries) {
        self.add(|waiting| waiting.accounts = Some(entries));
    }

    fn add(&self, add: impl FnOnce(&mut Waiting)) {
        add(&mut self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.added.notify_one();
    }

    fn take(&self) -> Option<Request> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Files come first, because reading them replaces the accounts that a source has sent.
        if std::mem::take(&mut waiting.files) {
            return Some(Request::Files);
        }
        waiting.accounts.take().map(Request::Accounts)
    }

    /// Waits for the next request. It is safe to cancel.
    pub(super) async fn next(&self) -> Request {
        loop {
            if let Some(request) = self.take() {
                return request;
            }
            self.0.added.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Entries, ReloadRequests, Request};
    use std::time::Duration;

    fn entries(text: &str) -> Entries {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("accounts.toml");
        std::fs::write(&file, text).unwrap();
        Entries::of_file(&file).unwrap()
    }

    #[tokio::test]
    async fn requests_wait_until_they_are_taken_and_the_newest_accounts_count() {
        let requests = ReloadRequests::default();
        for id in 1..=3 {
            requests.accounts(entries(&format!("[[account]]\nid = {id}\n")));
            requests.files();
        }
        assert!(matches!(requests.next().await, Request::Files), "files come first");
        let Request::Accounts(newest) = requests.next().await else { panic!("accounts come") };
        assert!(format!("{newest:?}").contains("Integer(3)"), "{newest:?}");
        assert!(requests.take().is_none(), "each counts once");

        let waiting = tokio::spawn({
            let requests = requests.clone();
            async move { requests.next().await }
        });
        // The task runs until it waits, so that only a notification wakes it.
        tokio::task::yield_now().await;
        requests.files();
        let woken = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        assert!(matches!(woken.expect("the request wakes the task").unwrap(), Request::Files));
    }
}
