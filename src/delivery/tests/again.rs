//! Tests of exchanges that are repeated because only their connection failed, and of those that are not.

use super::server::{PATIENCE, Server, raw, request};
use super::{attempt, endpoint, run, webhook};
use crate::delivery::Webhook;
use crate::domain::{ErrorReason, Outcome, Verdict};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(super) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The endpoint's reaction to the second request of a connection.
#[derive(Clone, Copy)]
enum Second {
    /// Reads the request, sends this answer and closes the connection.
    Says(&'static str),
    Resets,
}

/// Starts a server and records its requests. The first `good` connections answer their first request and treat the next
/// one as `second` says. Later connections are closed after their first request.
fn stale(second: Second, good: usize) -> (Server, Arc<Mutex<Vec<String>>>) {
    let (asked, count) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let noted = asked.clone();
    let server = raw(move |mut connection: TcpStream| {
        let is_good = count.fetch_add(1, Ordering::SeqCst) < good;
        let Some(first) = request(&mut connection) else { return };
        noted.lock().unwrap().push(first);
        if !is_good {
            return;
        }
        connection.write_all(OK).unwrap();
        match second {
            Second::Resets => {
                // Closing a socket with unread bytes resets the connection.
                let _ = connection.peek(&mut [0]);
            }
            Second::Says(answer) => {
                let Some(second) = request(&mut connection) else { return };
                noted.lock().unwrap().push(second);
                // The write may fail, because the client may close the connection before the end.
                let _ = connection.write_all(answer.as_bytes());
            }
        }
    });
    (server, asked)
}

/// Makes two attempts over one connection to `server`, and returns the outcome of the second.
fn second(server: &Server) -> Outcome {
    let mut second = None;
    run(async {
        let endpoint = endpoint(webhook(&server.url()));
        let outcome = attempt(&endpoint).await;
        assert_eq!(outcome.verdict, Verdict::Delivered, "{outcome:?}");
        assert_eq!(endpoint.take_repeated(), 0);
        second = Some(attempt(&endpoint).await);
        let again = server.connections() > 1;
        assert_eq!(endpoint.take_repeated(), u64::from(again), "the repeated exchange is counted");
    });
    second.unwrap()
}

const GATEWAY_408: &str = "HTTP/1.1 408 Request Time-out\r\nconnection: close\r\n\r\n<html>";
const OLD_408: &str = "HTTP/1.0 408 Request Time-out\r\ncontent-type: text/html\r\n\r\n<html>";
const MISDIRECTED: &str = "HTTP/1.1 421 Misdirected Request\r\ncontent-length: 0\r\n\r\n";

#[test]
fn an_exchange_lost_with_a_kept_connection_is_repeated_at_once() {
    for how in [
        Second::Says(""),
        Second::Resets,
        Second::Says(GATEWAY_408),
        Second::Says(OLD_408),
        Second::Says(MISDIRECTED),
    ] {
        let (server, asked) = stale(how, 2);
        let outcome = second(&server);
        assert_eq!((outcome.verdict, outcome.status), (Verdict::Delivered, Some(200)));
        assert_eq!(outcome.response, "ok", "{outcome:?}");
        assert_eq!(server.connections(), 2);
        let asked = asked.lock().unwrap();
        let (first, last) = (asked.first().unwrap(), asked.last().unwrap());
        assert_eq!(first, last, "it is the same request: id, time, signature, trace and body");
        assert_eq!(asked.len(), if matches!(how, Second::Resets) { 2 } else { 3 });
    }
}

#[test]
fn an_exchange_is_repeated_only_once() {
    let (server, asked) = stale(Second::Says(""), 1);
    let outcome = second(&server);
    assert_eq!(outcome.reason, Some(ErrorReason::Unreachable), "{outcome:?}");
    assert_eq!((server.connections(), asked.lock().unwrap().len()), (2, 3));
    let misdirected = raw(|mut connection| {
        while request(&mut connection).is_some() {
            connection.write_all(MISDIRECTED.as_bytes()).unwrap();
        }
    });
    run(async {
        let endpoint = endpoint(webhook(&misdirected.url()));
        for connections in [2, 4] {
            let outcome = attempt(&endpoint).await;
            let then = (outcome.status, outcome.verdict);
            assert_eq!(then, (Some(421), Verdict::GiveUp), "{outcome:?}");
            assert_eq!(
                misdirected.connections(),
                connections,
                "every fresh connection is misdirected too"
            );
        }
    });
}

#[test]
fn an_exchange_lost_with_a_fresh_connection_is_the_endpoints_failure() {
    for answer in ["", GATEWAY_408, OLD_408] {
        let server = raw(move |mut connection| {
            request(&mut connection);
            connection.write_all(answer.as_bytes()).unwrap();
        });
        run(async {
            let outcome = attempt(&endpoint(webhook(&server.url()))).await;
            assert_eq!(outcome.verdict, Verdict::Retry, "{outcome:?}");
            let status = (!answer.is_empty()).then_some(408);
            assert_eq!((outcome.status, server.connections()), (status, 1), "{outcome:?}");
        });
    }
}

#[test]
fn an_answer_that_has_begun_is_an_answer_on_a_kept_connection_too() {
    for (answer, status) in [
        ("HTTP/1.1 2", None),
        ("garbage\r\n\r\n", None),
        ("HTTP/1.1 503 No\r\ncontent-le", Some(503)),
        ("HTTP/1.1 408 No\r\ncontent-length: 0\r\n\r\n", Some(408)),
        ("HTTP/1.0 408 No\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n", Some(408)),
    ] {
        let (server, asked) = stale(Second::Says(answer), 2);
        let outcome = second(&server);
        assert_eq!((outcome.verdict, outcome.status), (Verdict::Retry, status), "{outcome:?}");
        assert_eq!((server.connections(), asked.lock().unwrap().len()), (1, 2), "{answer}");
    }
}

/// The answer to the first request is not taken for the answer to the second.
#[test]
fn no_status_of_an_earlier_exchange_decides() {
    let (server, _) = stale(Second::Says("HTTP/1.1 5"), 1);
    let outcome = second(&server);
    assert_eq!((outcome.verdict, outcome.status), (Verdict::Retry, None), "{outcome:?}");
}

#[test]
fn both_exchanges_share_the_attempts_time() {
    let connections = AtomicUsize::new(0);
    let connections = Arc::new(connections);
    let server = raw(move |mut connection| {
        if connections.fetch_add(1, Ordering::SeqCst) > 0 {
            // Reads until the client closes the connection.
            let _ = std::io::copy(&mut connection, &mut std::io::sink());
            return;
        }
        request(&mut connection);
        connection.write_all(OK).unwrap();
        request(&mut connection);
        std::thread::sleep(Duration::from_millis(700));
    });
    run(async {
        let request_timeout = Duration::from_secs(1);
        let endpoint = endpoint(Webhook { request_timeout, ..webhook(&server.url()) });
        attempt(&endpoint).await;
        let outcome = attempt(&endpoint).await;
        assert_eq!(outcome.reason, Some(ErrorReason::Timeout), "{outcome:?}");
        assert!((1000..1600).contains(&outcome.duration_ms), "{outcome:?}");
    });
}

/// Common servers close a connection that was idle for 5 s.
#[test]
fn an_idle_connection_is_closed_before_the_server_would() {
    let (ended, idle) = std::sync::mpsc::channel();
    let server = raw(move |mut connection| {
        request(&mut connection);
        connection.write_all(OK).unwrap();
        let answered = Instant::now();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(connection.read(&mut [0]).unwrap(), 0);
        ended.send(answered.elapsed()).unwrap();
    });
    run(async {
        let endpoint = endpoint(webhook(&server.url()));
        attempt(&endpoint).await;
        let idle = tokio::task::spawn_blocking(move || idle.recv_timeout(PATIENCE));
        let idle = idle.await.unwrap().unwrap();
        let expected = Duration::from_millis(3500)..Duration::from_millis(4950);
        assert!(expected.contains(&idle), "{idle:?}");
    });
}
