//! Looks names up: one question per name at a time, which all attempts share that wait for it.
//!
//! No look-up costs a thread, and none outlives the attempts that wait for it. Addresses are kept for their TTL, but never for
//! longer than [`KEPT_MAX`], so that a name that moves is noticed. Names that are slow to answer can't keep others waiting:
//! [`places`] has the oldest questions give way.

mod ask;
mod places;
mod system;

use super::shortage::Shortage;
use ask::Asker;
use places::Places;
use reqwest::dns::{Name, Resolve, Resolving};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::timeout;

/// Addresses are asked for again after so long, whatever their TTL.
const KEPT_MAX: Duration = Duration::from_secs(60);
/// Likewise that a name has none.
const MISSING_KEPT_MAX: Duration = Duration::from_secs(5);
/// Nobody waits for longer than `connect_timeout_ms` may be.
const LOOK_UP_MAX: Duration = Duration::from_secs(60);
/// A question that took so long, or was given up after it, makes its name a slow one.
const SLOW: Duration = Duration::from_secs(1);
/// With more names in the table, those are removed that nobody asks for and nothing is known of.
const NAMES_MAX: usize = 10_000;

/// Why a name has no addresses.
#[derive(Clone, Debug, thiserror::Error)]
enum Failure {
    /// There is no such name, or it has neither an IPv4 nor an IPv6 address.
    #[error("the name has no address")]
    Missing,
    /// No name server answered.
    #[error("no name server answered the look-up in time")]
    Late,
    /// A name server answered something else.
    #[error("the look-up failed: {0}")]
    Refused(Arc<str>),
    /// The question could not be asked.
    #[error(transparent)]
    Short(Shortage),
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Short(shortage) => Self::other(shortage),
            Failure::Missing | Failure::Late | Failure::Refused(_) => Self::other(failure),
        }
    }
}

/// Addresses or none, and for how long that may be kept.
struct Answer {
    found: Found,
    ttl: Duration,
}

type Found = Result<Arc<[IpAddr]>, Failure>;
type Sender = watch::Sender<Option<Found>>;

/// Whoever looks names up; all clones share questions and answers.
#[derive(Clone)]
pub struct Names(Arc<Shared>);

struct Shared {
    asker: Asker,
    /// Of all questions.
    places: Places,
    /// Of those about slow names, beside.
    slow_places: Places,
    table: Mutex<HashMap<String, Entry>>,
}

/// What is known of a name.
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

/// An answer, or the promise of one.
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
    /// Asks `name_servers`; where there are none, those of the system.
    #[must_use]
    pub fn new(name_servers: &[SocketAddr]) -> Self {
        Self::with_places(name_servers, places::for_all())
    }

    fn with_places(name_servers: &[SocketAddr], places: usize) -> Self {
        Self(Arc::new(Shared {
            asker: Asker::new(name_servers),
            slow_places: Places::new((places / 4).max(1)),
            places: Places::new(places),
            table: Mutex::default(),
        }))
    }

    /// The addresses of `name`, with port 0: the client puts the URL's port in.
    ///
    /// # Errors
    /// When it has none, or nobody answers; a [`Shortage`] stands in it where the daemon could not ask.
    pub(super) async fn look_up(&self, name: String) -> io::Result<Vec<SocketAddr>> {
        let found = match self.ask(name) {
            Asked::Known(found) => found,
            Asked::Waiting(mut answer) => match answer.wait_for(Option::is_some).await {
                Ok(found) => found.clone().unwrap_or(Err(Failure::Late)),
                Err(_) => return Err(io::Error::other("the look-up was broken off")),
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
        let slow_place = if is_slow { Some(self.slow_places.take().await) } else { None };
        let place = self.places.take().await;
        let gives_way = async {
            match &slow_place {
                Some(slow) => tokio::select! {
                    () = slow.is_wanted() => {}
                    () = place.is_wanted() => {}
                },
                None => place.is_wanted().await,
            }
        };
        let late = Answer { found: Err(Failure::Late), ttl: Duration::ZERO };
        tokio::select! {
            answer = timeout(LOOK_UP_MAX, self.asker.ask(name)) => answer.unwrap_or(late),
            () = gives_way => late,
        }
    }
}

/// A question that is being asked.
struct Question {
    shared: Arc<Shared>,
    name: String,
    sender: Arc<Sender>,
}

impl Question {
    /// Ends with the answer, or once nobody waits for it.
    async fn answer(self, is_slow: bool) {
        let started = Instant::now();
        let mut finding = pin!(self.shared.find(&self.name, is_slow));
        loop {
            tokio::select! {
                answer = &mut finding => return self.keep(answer, started),
                () = self.sender.closed() => if self.is_given_up(started) { return },
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
        self.sender.send_replace(Some(found));
    }

    /// Whether nobody waits; whoever comes later asks anew.
    fn is_given_up(&self, started: Instant) -> bool {
        let mut table = self.shared.lock();
        if self.sender.receiver_count() > 0 {
            return false;
        }
        if let Some(entry) = table.get_mut(&self.name) {
            entry.asked = None;
            entry.is_slow |= started.elapsed() >= SLOW;
        }
        true
    }
}

/// A runtime that ends drops its tasks.
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

/// Look-ups without a policy: of names that the operator chose, as a proxy's and the schema registry's.
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
