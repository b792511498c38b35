//! Asks the system for a name's addresses: its hosts file, then DNS.
//!
//! The C library's look-up blocks, so each has a thread. Tokio's own pool is not used: where the system refuses it a thread, a
//! look-up waits there until its time-out, and the endpoint would be blamed for that.

use super::shortage::Shortage;
use crate::system;
use reqwest::dns::{Name, Resolve, Resolving};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use tokio::sync::{Semaphore, oneshot};

/// So many look-ups run at once; others wait, within their own time.
const LOOK_UPS_MAX: usize = 256;

static PLACES: Semaphore = Semaphore::const_new(LOOK_UPS_MAX);

/// The addresses of `name`, with port 0: the client puts the URL's port in.
///
/// # Errors
/// When it has none, or nobody answers; a [`Shortage`] stands in it where the daemon could not ask.
pub(super) async fn look_up(name: String) -> io::Result<Vec<SocketAddr>> {
    // The semaphore is never closed; without a place there would merely be no limit.
    let place = PLACES.acquire().await.ok();
    let (answer, answered) = oneshot::channel();
    let look = move || {
        let found = (name.as_str(), 0).to_socket_addrs().map(Iterator::collect);
        drop(place);
        // Whoever asked may have gone meanwhile.
        let _ = answer.send(found.map_err(blame));
    };
    let thread = std::thread::Builder::new().name("look-up".to_owned()).spawn(look);
    thread.map_err(|_| io::Error::other(Shortage::Threads))?;
    answered.await.unwrap_or_else(|_| Err(io::Error::other("the look-up was broken off")))
}

/// The C library does not say why it could not ask: without a file for hosts and sockets it says that nobody answered, or even
/// that there is no such name.
fn blame(error: io::Error) -> io::Error {
    if Shortage::of(&error).is_none() && system::is_short_of_files() {
        return io::Error::other(Shortage::OpenFiles);
    }
    error
}

/// Look-ups without a policy, of a proxy's name: the operator chose it.
pub(super) struct Unchecked;

impl Resolve for Unchecked {
    fn resolve(&self, name: Name) -> Resolving {
        let looked_up = look_up(name.as_str().to_owned());
        Box::pin(async move {
            let addresses = looked_up.await?;
            Ok(Box::new(addresses.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::look_up;

    #[tokio::test]
    async fn names_and_what_is_none() {
        let found = look_up("localhost".to_owned()).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
        assert!(!found.is_empty());
        assert!(look_up("no such name".to_owned()).await.is_err());
    }
}
