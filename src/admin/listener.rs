//! A listener whose clients can't use up the process: so many at once, and none that stays silent. It answers even while the
//! process has no file left: a spare one is closed for the next client, who has to be brief.

use crate::system::{self, OpenFiles};
use axum::serve::Listener;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// A client that sends nothing for so long is gone. Longer than scrape intervals, which keep their connection.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// One that came by the spare file is gone sooner, for the next one needs it.
const IDLE_MAX_SHORT: Duration = Duration::from_millis(250);
/// How long a listener rests that can't accept, so that it does not spin.
const REST: Duration = Duration::from_millis(50);

pub(super) struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    idle_max: Duration,
    spare: Spare,
}

/// A file that is open to be closed.
#[derive(Clone, Default)]
struct Spare(Arc<Mutex<Option<File>>>);

impl Spare {
    /// Opens one again, if there is none and the process may.
    fn refill(&self) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.is_none() {
            *spare = system::spare_file().ok();
        }
    }

    /// Closes it; whether there was one.
    fn spend(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

impl Bounded {
    /// More clients wait until others go; how many there may be is a part of the files that the process may have open.
    pub(super) fn new(listener: TcpListener) -> Self {
        let places = system::for_admin(OpenFiles::now().soft);
        Self::with_limits(listener, usize::try_from(places).unwrap_or(usize::MAX), IDLE_MAX)
    }

    pub(super) fn with_limits(listener: TcpListener, places: usize, idle_max: Duration) -> Self {
        let spare = Spare::default();
        spare.refill();
        Self { listener, places: Arc::new(Semaphore::new(places)), idle_max, spare }
    }

    /// The next client, and whether he came by the spare file.
    async fn next(&self) -> (TcpStream, SocketAddr, bool) {
        let mut is_spent = false;
        loop {
            let error = match self.listener.accept().await {
                Ok((stream, address)) => return (stream, address, is_spent),
                Err(error) => error,
            };
            if is_of_client(&error) {
                continue;
            }
            // Whatever it is: a client waits and can't be accepted.
            is_spent = self.spare.spend();
            if !is_spent {
                tracing::debug!(%error, "a client of [http] listen waits, since he can't be accepted");
                tokio::time::sleep(REST).await;
                self.spare.refill();
            }
        }
    }
}

/// The client has gone before he was accepted.
fn is_of_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

impl Listener for Bounded {
    type Io = Client;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Client, SocketAddr) {
        // The semaphore is never closed; without a place there would merely be no limit.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, address, is_spent) = self.next().await;
        let idle_max = if is_spent { IDLE_MAX_SHORT.min(self.idle_max) } else { self.idle_max };
        let idle = Box::pin(tokio::time::sleep(idle_max));
        let place = Place { spare: self.spare.clone(), _place: place };
        (Client { stream, idle, idle_max, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A client's place; when he goes, the spare file may be opened again.
struct Place {
    spare: Spare,
    _place: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.spare.refill();
    }
}

/// A connection that holds its place. It is closed before its place is given back.
pub(super) struct Client {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    idle_max: Duration,
    _place: Place,
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            let deadline = Instant::now() + self.idle_max;
            self.idle.as_mut().reset(deadline);
            return read;
        }
        self.idle.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
