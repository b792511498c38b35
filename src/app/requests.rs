//! Requests to apply another configuration: by a signal, or because rows of the accounts' database have changed.
//!
//! A request stays until it is taken. Each of the two tasks that read the database sends the next rows only after its former
//! ones are applied. So the requests use a bounded amount of memory.

use crate::accounts::Reading;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, oneshot};

/// A request to apply another configuration.
#[derive(Debug)]
pub(super) enum Request {
    /// Read both files again.
    Files,
    /// Apply these rows of the accounts' database.
    Rows(Rows),
}

/// Rows to apply.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) reading: Reading,
    /// Gets whether any of the rows differs from those in force, once they are applied.
    pub(super) applied: oneshot::Sender<bool>,
}

/// The channel of reload requests from signals and from the accounts' database to the daemon. All clones are the same channel.
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
    rows: VecDeque<Rows>,
}

impl ReloadRequests {
    /// Requests that the daemon reads both files again.
    pub fn files(&self) {
        self.add(|waiting| waiting.files = true);
    }

    /// Requests that the daemon applies rows of the accounts' database, and waits until that is done. Returns whether any
    /// of them differs from those in force, or `None` if they are not applied.
    pub(super) async fn rows(&self, reading: Reading) -> Option<bool> {
        let (applied, done) = oneshot::channel();
        self.add(|waiting| waiting.rows.push_back(Rows { reading, applied }));
        // The sender is dropped if the daemon stops or can't apply the rows.
        done.await.ok()
    }

    fn add(&self, add: impl FnOnce(&mut Waiting)) {
        add(&mut self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.added.notify_one();
    }

    fn take(&self) -> Option<Request> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Files come first, because the rows are built with the settings.
        if std::mem::take(&mut waiting.files) {
            return Some(Request::Files);
        }
        waiting.rows.pop_front().map(Request::Rows)
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
    use super::{ReloadRequests, Request};
    use crate::accounts::Reading;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn requests_wait_until_they_are_taken_and_rows_until_they_are_applied() {
        let requests = ReloadRequests::default();
        let sender = requests.clone();
        let sending = tokio::spawn(async move {
            sender.files();
            sender.files();
            assert_eq!(sender.rows(Reading::default()).await, Some(true));
            assert_eq!(sender.rows(Reading::default()).await, None, "they are not applied");
        });
        assert!(matches!(requests.next().await, Request::Files), "files come first, and once");
        let Request::Rows(rows) = requests.next().await else { panic!("rows come") };
        assert!(!sending.is_finished(), "the rows are not applied yet");
        rows.applied.send(true).unwrap();
        let Request::Rows(rows) = requests.next().await else { panic!("rows come again") };
        drop(rows);
        tokio::time::timeout(PATIENCE, sending).await.expect("the sender goes on").unwrap();
        assert!(requests.take().is_none(), "each counts once");

        let waiting = tokio::spawn({
            let requests = requests.clone();
            async move { requests.next().await }
        });
        // The task runs until it waits, so that only a notification wakes it.
        tokio::task::yield_now().await;
        requests.files();
        let woken = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(matches!(woken.expect("the request wakes the task").unwrap(), Request::Files));
    }
}
