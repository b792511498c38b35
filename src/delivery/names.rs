//! Resolves names. Attempts that wait for the same name share one question.
//!
//! A look-up takes no thread, and ends with the last attempt that waits for it. Addresses are kept for their TTL, but
//! at most for [`KEPT_MAX`], so that a moved name is noticed. Names that are slow to answer can't delay others: a
//! question that takes long gives its permit away while others wait ([`permits`]), and continues with one of the few
//! permits for slow names.

mod ask;
mod permits;
mod system;

use super::shortage::Shortage;
use ask::Asker;
use permits::{LookupPermit, LookupPermits};
use reqwest::dns::{Name, Resolve, Resolving};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::timeout;

/// Addresses are asked for again after this time, whatever their TTL.
const KEPT_MAX: Duration = Duration::from_secs(60);
/// How long to remember that a name has no addresses.
const MISSING_KEPT_MAX: Duration = Duration::from_secs(5);
/// The largest `connect_timeout_ms`: no attempt waits longer.
const LOOK_UP_MAX: Duration = Duration::from_secs(60);
/// A question without an answer after this time makes its name a slow one.
const SLOW: Duration = Duration::from_secs(1);
/// Most answers come within this time. A question that takes longer gives its permit away if others wait for one.
const QUICK: Duration = Duration::from_millis(250);
/// When the table is larger, names without answers and without waiting attempts are removed.
const NAMES_MAX: usize = 10_000;

/// The reason why a look-up failed, as its metric counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedLookUp {
    /// There is no such name, or it has neither an IPv4 nor an IPv6 address.
    Missing,
    /// No name server answered while an attempt waited.
    Late,
    /// A name server refused to answer, or could not be asked.
    Refused,
}

/// Why a name has no addresses.
#[derive(Clone, Debug, thiserror::Error)]
enum Failure {
    /// There is no such name, or it has neither an IPv4 nor an IPv6 address.
    #[error("the name has no address")]
    Missing,
    /// No name server answered.
    #[error("no name server answered the look-up in time")]
    Late,
    /// A name server answered with an error.
    #[error("the look-up failed: {0}")]
    Refused(Arc<str>),
    /// The question could not be asked.
    #[error(transparent)]
    Short(Shortage),
}

impl Failure {
    /// Returns the reason to count. A shortage is the daemon's own and counted elsewhere.
    fn counted(&self) -> Option<FailedLookUp> {
        match self {
            Self::Missing => Some(FailedLookUp::Missing),
            Self::Late => Some(FailedLookUp::Late),
            Self::Refused(_) => Some(FailedLookUp::Refused),
            Self::Short(_) => None,
        }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Short(shortage) => Self::other(shortage),
            Failure::Missing | Failure::Late | Failure::Refused(_) => Self::other(failure),
        }
    }
}

/// Addresses or a failure, and how long to keep them.
struct Answer {
    found: Found,
    ttl: Duration,
}

impl Answer {
    fn late() -> Self {
        Self { found: Err(Failure::Late), ttl: Duration::ZERO }
    }
}

type Found = Result<Arc<[IpAddr]>, Failure>;
type Sender = watch::Sender<Option<Found>>;

/// Is called for each look-up that failed.
type Failed = Arc<dyn Fn(FailedLookUp) + Send + Sync>;

/// The resolver. Clones share questions and answers.
#[derive(Clone)]
pub struct Names(Arc<Shared>);

struct Shared {
    asker: Asker,
    permits: LookupPermits,
    /// Permits for names that are slow or may be slow.
    slow_permits: LookupPermits,
    failed: Failed,
    table: Mutex<HashMap<String, Entry>>,
}

/// The state of one name.
#[derive(Default)]
struct Entry {
    asked: Option<Arc<Sender>>,
    known: Option<(Found, Instant)>,
    is_slow: bool,
}

impl Entry {
    fn known(&self, now: Instant) -> Option<Found> {
        let (found, until) = self.known.as_ref()?;
        (now < *until).then(|| found.clone())
    }
}

/// An answer, or a question that is still open.
enum Asked {
    Known(Found),
    Waiting(watch::Receiver<Option<Found>>),
}

impl Default for Names {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Names {
    /// Creates a resolver that asks `name_servers`, or the system's name servers if the list is empty.
    #[must_use]
    pub fn new(name_servers: &[SocketAddr]) -> Self {
        Self::watched(name_servers, Arc::new(|_| {}))
    }

    /// Like `new`. Calls `failed` for each failed look-up, once for all attempts that wait for it.
    #[must_use]
    pub fn watched(
        name_servers: &[SocketAddr],
        failed: Arc<dyn Fn(FailedLookUp) + Send + Sync>,
    ) -> Self {
        Self::build(Asker::new(name_servers), permits::for_all(), failed)
    }

    fn build(asker: Asker, permits: usize, failed: Failed) -> Self {
        let slow = (permits / 4).max(1);
        Self(Arc::new(Shared {
            asker,
            slow_permits: LookupPermits::new(slow, SLOW),
            permits: LookupPermits::new(permits.saturating_sub(slow).max(1), QUICK),
            failed,
            table: Mutex::default(),
        }))
    }

    /// Returns the addresses of `name` with port 0; the client sets the URL's port.
    ///
    /// # Errors
    /// The name has no addresses, or no server answers. The error contains a [`Shortage`] if the daemon could not ask.
    pub(super) async fn look_up(&self, name: String) -> io::Result<Vec<SocketAddr>> {
        let found = match self.ask(name) {
            Asked::Known(found) => found,
            Asked::Waiting(mut answer) => match answer.wait_for(Option::is_some).await {
                Ok(found) => found.clone().unwrap_or(Err(Failure::Late)),
                Err(_) => return Err(io::Error::other("the look-up was cancelled")),
            },
        };
        Ok(found?.iter().map(|address| SocketAddr::new(*address, 0)).collect())
    }

    fn ask(&self, name: String) -> Asked {
        let mut table = self.0.lock();
        let now = Instant::now();
        if table.len() >= NAMES_MAX {
            table.retain(|_, entry| entry.asked.is_some() || entry.known(now).is_some());
        }
        let entry = table.entry(name.clone()).or_default();
        if let Some(found) = entry.known(now) {
            return Asked::Known(found);
        }
        if let Some(asked) = &entry.asked {
            return Asked::Waiting(asked.subscribe());
        }
        let (sender, answer) = watch::channel(None);
        let sender = Arc::new(sender);
        entry.asked = Some(sender.clone());
        let question = Question { shared: self.0.clone(), name, sender };
        tokio::spawn(question.answer(entry.is_slow));
        Asked::Waiting(answer)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find(&self, name: &str, is_slow: bool) -> Answer {
        if !is_slow {
            let permit = self.permits.take().await;
            if let Some(answer) = self.ask(name, &permit).await {
                return answer;
            }
        }
        let permit = self.slow_permits.take().await;
        self.ask(name, &permit).await.unwrap_or_else(Answer::late)
    }

    /// Asks for the addresses of `name`. Returns `None` when the permit was given away first.
    async fn ask(&self, name: &str, permit: &LookupPermit<'_>) -> Option<Answer> {
        tokio::select! {
            answer = timeout(LOOK_UP_MAX, self.asker.ask(name)) => {
                Some(answer.unwrap_or_else(|_| Answer::late()))
            }
            () = permit.is_wanted() => None,
        }
    }

    fn note(&self, found: &Found) {
        if let Some(failed) = found.as_ref().err().and_then(Failure::counted) {
            (self.failed)(failed);
        }
    }
}

/// A question in progress.
struct Question {
    shared: Arc<Shared>,
    name: String,
    sender: Arc<Sender>,
}

impl Question {
    /// Runs until the answer comes or no attempt waits for it.
    async fn answer(self, is_slow: bool) {
        let started = Instant::now();
        let mut finding = pin!(self.shared.find(&self.name, is_slow));
        loop {
            tokio::select! {
                answer = &mut finding => return self.keep(answer, started),
                () = self.sender.closed() => if self.is_abandoned(started) { return },
            }
        }
    }

    fn keep(&self, answer: Answer, started: Instant) {
        let Answer { found, ttl } = answer;
        let now = Instant::now();
        let kept_max = if found.is_ok() { KEPT_MAX } else { MISSING_KEPT_MAX };
        let mut table = self.shared.lock();
        if let Some(entry) = table.get_mut(&self.name) {
            entry.asked = None;
            entry.is_slow = now.duration_since(started) >= SLOW && found.is_err();
            entry.known = Some((found.clone(), now + ttl.min(kept_max)));
        }
        drop(table);
        self.shared.note(&found);
        self.sender.send_replace(Some(found));
    }

    /// Returns whether no attempt waits for the answer. A later attempt starts a new question.
    fn is_abandoned(&self, started: Instant) -> bool {
        let mut table = self.shared.lock();
        if self.sender.receiver_count() > 0 {
            return false;
        }
        if let Some(entry) = table.get_mut(&self.name) {
            entry.asked = None;
            entry.is_slow |= started.elapsed() >= SLOW;
        }
        drop(table);
        self.shared.note(&Err(Failure::Late));
        true
    }
}

/// A runtime that shuts down drops its tasks.
impl Drop for Question {
    fn drop(&mut self) {
        let mut table = self.shared.lock();
        if let Some(entry) = table.get_mut(&self.name)
            && entry.asked.as_ref().is_some_and(|asked| Arc::ptr_eq(asked, &self.sender))
        {
            entry.asked = None;
        }
    }
}

/// Resolves names without the address policy: the operator chose them, such as a proxy's or the schema registry's.
impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let names = self.clone();
        Box::pin(async move {
            let addresses = names.look_up(name.as_str().to_owned()).await?;
            Ok(Box::new(addresses.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

#[cfg(test)]
mod tests;
