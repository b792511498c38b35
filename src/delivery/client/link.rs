//! One connection: its age and version, and the first bytes of the answer that arrives on it.
//!
//! The HTTP library drops the bytes of a head that it can't parse. When an exchange fails, the library says neither
//! whether the connection was new nor whether an answer had begun. All bytes of a connection pass through a [`Tap`],
//! which records both in the connection's [`Link`].

use super::sniff::Sniff;
use http::StatusCode;
use hyper_util::client::legacy::connect::{Connected, Connection};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The state of a connection.
pub(super) struct Link {
    made_at: Instant,
    is_http2: bool,
    has_answered: AtomicBool,
    answer: Mutex<Sniff>,
}

impl Link {
    fn new(is_http2: bool) -> Self {
        Self {
            made_at: Instant::now(),
            is_http2,
            has_answered: AtomicBool::new(false),
            answer: Mutex::default(),
        }
    }

    /// Returns whether the connection uses HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// Returns whether the connection existed before an exchange that began at `started`, or has served another one
    /// since.
    pub(super) fn is_older_than(&self, started: Instant) -> bool {
        self.made_at < started || self.has_answered.load(Ordering::Relaxed)
    }

    /// Returns the time since the connection was made.
    pub(super) fn age(&self) -> Duration {
        self.made_at.elapsed()
    }

    /// Returns whether a byte arrived after the latest request. Only HTTP/1 shows which answer a byte belongs to.
    pub(super) fn has_received(&self) -> bool {
        !self.is_http2 && self.lock().has_received()
    }

    /// Returns the status of the answer to the latest request, unless the library has parsed its head.
    pub(super) fn status(&self) -> Option<StatusCode> {
        self.lock().status()
    }

    /// The library has parsed the head of an answer.
    pub(super) fn answered(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
        if !self.is_http2 {
            self.lock().settle();
        }
    }

    fn wrote(&self, bytes: &[u8]) {
        if !self.is_http2 && begins_request(bytes) {
            self.lock().begin();
        }
    }

    fn read(&self, bytes: &[u8]) {
        if !self.is_http2 && !bytes.is_empty() {
            self.lock().receive(bytes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sniff> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The library writes a request's head from its first byte on; the continuation of a body begins otherwise.
fn begins_request(bytes: &[u8]) -> bool {
    let method = bytes.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    (3..=7).contains(&method) && bytes.get(method) == Some(&b' ')
}

/// Wraps a connection and sees all of its bytes.
pub(super) struct Tap {
    stream: Stream,
    link: Arc<Link>,
    is_proxied: bool,
}

/// A connection with or without TLS.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Tap {
    /// Wraps `stream`. `is_proxied` says that a proxy is at the other end and forwards each request.
    pub(super) fn new(stream: Stream, is_proxied: bool) -> Self {
        let is_http2 = match &stream {
            Stream::Plain(_) => false,
            Stream::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        };
        Self { stream, link: Arc::new(Link::new(is_http2)), is_proxied }
    }
}

impl Connection for Tap {
    fn connected(&self) -> Connected {
        let connected = match &self.stream {
            Stream::Plain(tcp) => tcp.connected(),
            Stream::Tls(tls) => tls.get_ref().0.connected(),
        };
        let connected = connected.proxy(self.is_proxied).extra(self.link.clone());
        if self.link.is_http2 { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Stream::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        };
        self.link.read(buffer.filled().get(before..).unwrap_or_default());
        polled
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.link.wrote(bytes);
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Stream::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.link.wrote(first.map_or(&[], |slice| slice));
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::begins_request;

    #[test]
    fn a_request_is_recognised_by_its_first_bytes() {
        for begin in ["POST / HTTP/1.1\r\n", "GET http://a/", "OPTIONS * HTTP/1.1", "PUT /"] {
            assert!(begins_request(begin.as_bytes()), "{begin}");
        }
        for other in ["", "POST", "{\"a\":1}", "post / HTTP/1.1", "A B", "a=POST /"] {
            assert!(!begins_request(other.as_bytes()), "{other}");
        }
    }
}
