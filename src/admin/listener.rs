//! A listener whose clients can't exhaust the process: it limits their number and closes silent connections.
//!
//! It answers even when the process has no file descriptor left. It then closes a spare file to accept the next client,
//! and closes that client sooner when it is silent.

use super::access::Peer;
use crate::system::{self, OpenFiles};
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
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

/// A client that sends nothing for this time is closed. The time is longer than usual scrape intervals, because
/// scrapers keep their connection.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// The same limit for a client that was accepted with the spare file, because the next client needs that file.
const IDLE_MAX_SHORT: Duration = Duration::from_millis(250);
/// The pause after a failed accept, so that the loop does not spin.
const REST: Duration = Duration::from_millis(50);

pub(super) struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    idle_max: Duration,
    spare: Spare,
}

/// An open file that is closed when its descriptor is needed for a client.
#[derive(Clone, Default)]
struct Spare(Arc<Mutex<Option<File>>>);

impl Spare {
    /// Opens the spare file again, if it is closed and a descriptor is free.
    fn refill(&self) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.is_none() {
            *spare = system::spare_file().ok();
        }
    }

    /// Closes the spare file. Returns whether it was open.
    fn spend(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

impl Bounded {
    /// Creates the listener. The limit of clients depends on how many files the process may have open; more clients
    /// wait.
    pub(super) fn new(listener: TcpListener) -> Self {
        let permits = system::for_admin(OpenFiles::now().soft);
        Self::with_limits(listener, usize::try_from(permits).unwrap_or(usize::MAX), IDLE_MAX)
    }

    pub(super) fn with_limits(listener: TcpListener, permits: usize, idle_max: Duration) -> Self {
        let spare = Spare::default();
        spare.refill();
        Self { listener, permits: Arc::new(Semaphore::new(permits)), idle_max, spare }
    }

    /// Accepts the next client. The flag says whether the spare file was closed for it.
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
            // Whatever the error is, a client waits that could not be accepted.
            is_spent = self.spare.spend();
            if !is_spent {
                tracing::debug!(%error, "a client of [http] listen waits: it can't be accepted for now");
                tokio::time::sleep(REST).await;
                self.spare.refill();
            }
        }
    }
}

/// Returns whether the error means that the client closed its connection before it was accepted.
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
        // The semaphore is never closed. If it were, clients would only be unlimited.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let (stream, address, is_spent) = self.next().await;
        let idle_max = if is_spent { IDLE_MAX_SHORT.min(self.idle_max) } else { self.idle_max };
        let idle = Box::pin(tokio::time::sleep(idle_max));
        let permit = ConnectionPermit { spare: self.spare.clone(), _permit: permit };
        (Client { stream, idle, idle_max, _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A client's permit. When it is dropped, the spare file is opened again if possible.
struct ConnectionPermit {
    spare: Spare,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.spare.refill();
    }
}

/// A connection that holds its permit. The stream is closed before the permit is returned.
pub(super) struct Client {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    idle_max: Duration,
    _permit: ConnectionPermit,
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
