//! Tests of how attempts share connections, and how long a connect may take.

use super::certificates::Authority;
use super::server::{Server, raw, raw_at, request, says, tls};
use super::{attempt, endpoint, run, webhook};
use crate::delivery::{Endpoint, Tls, Webhook};
use crate::domain::{ErrorReason, Outcome, RESPONSE_BYTES_KEPT, Verdict};
use bytes::Bytes;
use std::future::poll_fn;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

fn keeping_alive(address: &str) -> Server {
    raw_at(address, |mut connection| {
        while request(&mut connection).is_some() {
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
        }
    })
}

#[track_caller]
fn is_delivered(outcome: &Outcome) {
    assert_eq!((outcome.verdict, outcome.status), (Verdict::Delivered, Some(200)), "{outcome:?}");
}

#[test]
fn attempts_share_a_connection_and_endpoints_do_not() {
    let server = keeping_alive("127.0.0.1:0");
    let endpoints = [(); 2].map(|()| endpoint(webhook(&server.url())));
    run(async {
        for (number, endpoint) in (1..).zip(&endpoints) {
            for _ in 0..20 {
                is_delivered(&attempt(endpoint).await);
                assert_eq!(server.connections(), number);
            }
        }
    });
}

#[test]
fn an_endpoint_may_have_an_ipv6_address() {
    let server = keeping_alive("[::1]:0");
    run(async { is_delivered(&attempt(&endpoint(webhook(&server.url()))).await) });
}

/// Starts an HTTP/2 endpoint that treats connections with `serve`. Its attempts have this time-out.
async fn http2<F>(
    serve: impl Fn(TlsStream<TcpStream>) -> F + Clone + Send + 'static,
    timeout: Duration,
) -> (Server, Arc<Endpoint>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1").speaking(&["h2", "http/1.1"]);
    let server = tls(&identity, serve).await;
    let mut webhook = webhook(&format!("https://{}/", server.address));
    webhook.tls = Tls { ca_pem: authority.pem(), client_pem: None, ..Tls::default() };
    webhook.request_timeout = timeout;
    webhook.limits.in_flight_max = NonZeroU32::new(8).unwrap();
    (server, Arc::new(endpoint(webhook)))
}

/// Answers each request of a connection with a hundred headers. The first `endless` bodies have no end; `sent` records
/// how many bytes of each were sent before it was reset.
pub(super) async fn answer(
    connection: TlsStream<TcpStream>,
    endless: usize,
    sent: Arc<Mutex<Vec<usize>>>,
) {
    let mut connection = h2::server::handshake(connection).await.unwrap();
    let mut number = 0;
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        assert_eq!(
            (request.method(), request.version()),
            (&http::Method::POST, http::Version::HTTP_2)
        );
        number += 1;
        let many = (0..100).fold(http::Response::builder(), |response, number| {
            response.header(format!("x-{number}"), "x".repeat(300))
        });
        let mut body = respond.send_response(many.body(()).unwrap(), false).unwrap();
        if number > endless {
            body.send_data(Bytes::from_static(b"ok"), true).unwrap();
            continue;
        }
        let sent = sent.clone();
        tokio::spawn(async move {
            let mut bytes = 0;
            body.reserve_capacity(16_384);
            while let Some(Ok(room)) = poll_fn(|context| body.poll_capacity(context)).await {
                if body.send_data(Bytes::from(vec![b'x'; room]), false).is_err() {
                    break;
                }
                bytes += room;
                body.reserve_capacity(16_384);
            }
            sent.lock().unwrap().push(bytes);
        });
    }
}

#[test]
fn attempts_share_a_connection_of_http2() {
    run(async {
        let serve = |connection| answer(connection, 0, Arc::default());
        let (server, endpoint) = http2(serve, Duration::from_secs(10)).await;
        is_delivered(&attempt(&endpoint).await);
        let mut attempts = JoinSet::new();
        for _ in 0..16 {
            let endpoint = endpoint.clone();
            attempts.spawn(async move { attempt(&endpoint).await });
        }
        while let Some(outcome) = attempts.join_next().await {
            let outcome = outcome.unwrap();
            is_delivered(&outcome);
            assert_eq!(outcome.response, "ok");
        }
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn an_endless_answer_of_http2_is_reset_and_the_connection_kept() {
    run(async {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let noted = sent.clone();
        let serve = move |connection| answer(connection, 2, noted.clone());
        let (server, endpoint) = http2(serve, Duration::from_secs(10)).await;
        for _ in 0..2 {
            let outcome = attempt(&endpoint).await;
            is_delivered(&outcome);
            assert!(outcome.response_truncated && outcome.duration_ms < 5000);
            assert_eq!(outcome.response.len(), RESPONSE_BYTES_KEPT);
        }
        is_delivered(&attempt(&endpoint).await);
        assert_eq!(server.connections(), 1);
        while sent.lock().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let sent = sent.lock().unwrap();
        assert!(
            sent.iter().all(|bytes| *bytes < 4 * RESPONSE_BYTES_KEPT),
            "bytes that were sent: {sent:?}"
        );
    });
}

/// The first connection answers one request and then falls silent without closing.
#[test]
fn a_dead_http2_connection_is_detected() {
    run(async {
        let connections = Arc::new(AtomicUsize::new(0));
        let serve = move |connection| {
            let first = connections.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if !first {
                    return answer(connection, 0, Arc::default()).await;
                }
                let mut connection = h2::server::handshake(connection).await.unwrap();
                let (_, mut respond) = connection.accept().await.unwrap().unwrap();
                respond.send_response(http::Response::new(()), true).unwrap();
                let _second = connection.accept().await;
                std::future::pending().await
            }
        };
        let (server, endpoint) = http2(serve, Duration::from_secs(50)).await;
        is_delivered(&attempt(&endpoint).await);
        let outcome = attempt(&endpoint).await;
        is_delivered(&outcome);
        assert!(outcome.duration_ms < 30_000, "long before its own deadline: {outcome:?}");
        assert_eq!(server.connections(), 2, "the exchange was repeated on a fresh connection");
        is_delivered(&attempt(&endpoint).await);
        assert_eq!(server.connections(), 3, "the next attempt makes its own connection");
    });
}

#[track_caller]
fn times_out(outcome: &Outcome) {
    assert_eq!((outcome.verdict, outcome.status), (Verdict::Retry, None), "{outcome:?}");
    assert_eq!(outcome.reason, Some(ErrorReason::Timeout), "{outcome:?}");
    assert!((200..5000).contains(&outcome.duration_ms), "{outcome:?}");
}

#[test]
fn a_connect_that_does_not_complete_is_a_time_out() {
    let connect_timeout = Duration::from_millis(200);
    run(async {
        // A listener whose queue is full, so that no further connect completes.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let full = listener.local_addr().unwrap();
        let _queued = TcpStream::connect(full).await.unwrap();
        let url = format!("http://{full}/");
        times_out(&attempt(&endpoint(Webhook { connect_timeout, ..webhook(&url) })).await);
        // A server that accepts the connection and does not answer the TLS handshake.
        let silent = raw(|connection| {
            let _ = connection.set_read_timeout(None);
            let _ = std::io::copy(&mut &connection, &mut std::io::sink());
        });
        let url = format!("https://{}/", silent.address);
        times_out(&attempt(&endpoint(Webhook { connect_timeout, ..webhook(&url) })).await);
        silent.wait_ended();
        // A server that does not use TLS.
        let plain = says("");
        let url = format!("https://{}/", plain.address);
        let outcome = attempt(&endpoint(Webhook { connect_timeout, ..webhook(&url) })).await;
        assert!(outcome.status.is_none() && outcome.verdict == Verdict::Retry, "{outcome:?}");
    });
}
