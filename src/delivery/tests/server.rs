//! Endpoints on real sockets with behaviour that the tests define.

use super::certificates::Identity;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Longer than any step of a test takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// An endpoint. Its threads run until the tests end.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    ended: Mutex<Receiver<()>>,
}

impl Server {
    /// Returns its URL over plain HTTP.
    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Returns how many connections it has accepted.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Returns an endpoint with an address on which nothing listens.
    pub(super) fn gone() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, connections: Arc::default(), ended: Mutex::new(channel().1) }
    }

    /// Returns whether one more connection has been served to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.lock().unwrap().try_recv().is_ok()
    }

    /// Waits until one more connection has been served to its end.
    #[track_caller]
    pub(super) fn wait_ended(&self) {
        let ended = self.ended.lock().unwrap().recv_timeout(PATIENCE);
        ended.expect("the connection ends");
    }
}

/// Starts a server on 127.0.0.1. `serve` runs in a separate thread for each connection.
pub(super) fn raw(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Server {
    raw_at("127.0.0.1:0", serve)
}

/// Starts a server on `address`. `serve` runs in a separate thread for each connection.
pub(super) fn raw_at(address: &str, serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Server {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, (end, ended)) = (Arc::new(AtomicUsize::new(0)), channel());
    let count = connections.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            let (serve, end, connection) = (serve.clone(), end.clone(), connection.unwrap());
            std::thread::spawn(move || {
                serve(connection);
                // The receiver may be gone if the test does not wait for it.
                let _ = end.send(());
            });
        }
    });
    Server { address, connections, ended: Mutex::new(ended) }
}

/// Starts a server that answers one request of each connection with `answer` and closes the connection.
pub(super) fn says(answer: impl Into<Vec<u8>>) -> Server {
    let answer = answer.into();
    raw(move |mut connection| {
        request(&mut connection);
        // The write may fail, because the client may close the connection before the end.
        let _ = connection.write_all(&answer);
    })
}

/// Reads one request with its body, or returns `None` at the end of the connection.
pub(super) fn request(connection: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(b"\r\n\r\n") {
        if connection.read(&mut byte).ok()? == 0 {
            return None;
        }
        read.extend(byte);
    }
    let head = String::from_utf8(read).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    connection.read_exact(&mut body).ok()?;
    Some(head + std::str::from_utf8(&body).unwrap())
}

/// Writes `part` repeatedly, with a `pause` after each, until the client closes the connection.
pub(super) fn drip(connection: &mut TcpStream, part: &[u8], pause: Duration) {
    while connection.write_all(part).is_ok() {
        std::thread::sleep(pause);
    }
}

/// Starts a TLS server on the test's runtime. `serve` runs for each connection.
pub(super) async fn tls<F>(
    identity: &Identity,
    serve: impl Fn(TlsStream<tokio::net::TcpStream>) -> F + Clone + Send + 'static,
) -> Server
where
    F: Future<Output = ()> + Send + 'static,
{
    let acceptor = TlsAcceptor::from(identity.server_config());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, (end, ended)) = (Arc::new(AtomicUsize::new(0)), channel());
    let count = connections.clone();
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let (acceptor, serve, end) = (acceptor.clone(), serve.clone(), end.clone());
            tokio::spawn(async move {
                // Several tests expect a failed handshake.
                if let Ok(connection) = acceptor.accept(connection).await {
                    serve(connection).await;
                }
                let _ = end.send(());
            });
        }
    });
    Server { address, connections, ended: Mutex::new(ended) }
}

/// Answers 200 to one HTTP/1.1 request of a TLS connection.
pub(super) async fn tls_ok(mut connection: TlsStream<tokio::net::TcpStream>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut read = Vec::new();
    while !read.ends_with(b"{}") {
        if !matches!(connection.read_buf(&mut read).await, Ok(1..)) {
            return;
        }
    }
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let _ = connection.write_all(answer).await;
    let _ = connection.shutdown().await;
}
