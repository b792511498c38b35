//! Tests with hand-written HTTP/2: an endpoint that ends streams and connections as no library would.

use super::again::OK;
use super::certificates::Authority;
use super::server::{Server, tls};
use super::{attempt, endpoint, run, webhook};
use crate::delivery::{Endpoint, Tls, Webhook};
use crate::domain::{ErrorReason, Outcome, Verdict};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The endpoint's reaction to a stream.
#[derive(Clone, Copy, Debug)]
enum Says {
    Ok,
    /// Status 200 with a header that HTTP/2 forbids.
    Malformed,
    /// `RST_STREAM` with this reason.
    Reset(u32),
    /// `GOAWAY` with this reason, which names the previous stream as the last one. The connection stays open.
    GoAway(u32),
    /// No answer; the connection is closed.
    Closes,
}

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const HTTP_1_1_REQUIRED: u32 = 13;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Serves an HTTP/2 connection. `script` has a reaction per stream, and its last one is used for all further streams.
async fn speak(mut connection: TlsStream<TcpStream>, script: &[Says]) -> Option<()> {
    let mut number = 0;
    let mut preface = [0; 24];
    connection.read_exact(&mut preface).await.ok()?;
    connection.write_all(&frame(SETTINGS, 0, 0, &[])).await.ok()?;
    loop {
        let mut head = [0; 9];
        connection.read_exact(&mut head).await.ok()?;
        let [_, _, _, kind, flags, id @ ..] = head;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        connection.read_exact(&mut payload).await.ok()?;
        let id = u32::from_be_bytes(id);
        let answer = match (kind, flags & 1 == 1) {
            (SETTINGS, false) => frame(SETTINGS, 1, 0, &[]),
            (DATA | HEADERS, true) => {
                let says = script[number.min(script.len() - 1)];
                number += 1;
                match says {
                    // 0x88 is `:status: 200`.
                    Says::Ok => frame(HEADERS, 5, id, &[0x88]),
                    Says::Malformed => frame(HEADERS, 5, id, b"\x88\x00\x0aconnection\x05close"),
                    Says::Reset(reason) => frame(RST_STREAM, 0, id, &reason.to_be_bytes()),
                    Says::GoAway(reason) => {
                        let last = id.saturating_sub(2).to_be_bytes();
                        frame(GOAWAY, 0, 0, &[last, reason.to_be_bytes()].concat())
                    }
                    Says::Closes => return None,
                }
            }
            _ => continue,
        };
        connection.write_all(&answer).await.ok()?;
    }
}

/// The protocol of each HTTP/2 connection and of each HTTP/1.1 request.
type Spoken = Arc<Mutex<Vec<&'static str>>>;

/// Starts an endpoint whose connections follow `scripts` in order, and the last one from then on. Over HTTP/1.1 it
/// answers 200.
async fn scripted(
    scripts: &'static [&'static [Says]],
    http1_only: bool,
) -> (Server, Endpoint, Spoken) {
    speaking(&["h2", "http/1.1"], scripts, http1_only).await
}

async fn speaking(
    alpn: &[&str],
    scripts: &'static [&'static [Says]],
    http1_only: bool,
) -> (Server, Endpoint, Spoken) {
    let authority = Authority::new();
    let identity = authority.identity("127.0.0.1").speaking(alpn);
    let (count, spoken) = (Arc::new(AtomicUsize::new(0)), Spoken::default());
    let noted = spoken.clone();
    let server = tls(&identity, move |mut connection| {
        let number = count.fetch_add(1, Ordering::SeqCst).min(scripts.len() - 1);
        let noted = noted.clone();
        async move {
            if connection.get_ref().1.alpn_protocol() == Some(b"h2") {
                noted.lock().unwrap().push("h2");
                speak(connection, scripts[number]).await;
                return;
            }
            let mut read = Vec::new();
            while matches!(connection.read_buf(&mut read).await, Ok(1..)) {
                if read.ends_with(b"{}") {
                    read.clear();
                    noted.lock().unwrap().push("http/1.1");
                    connection.write_all(OK).await.unwrap();
                }
            }
        }
    })
    .await;
    let mut webhook = Webhook { http1_only, ..webhook(&format!("https://{}/", server.address)) };
    webhook.tls = Tls { ca_pem: authority.pem(), client_pem: None, ..Tls::default() };
    webhook.limits.in_flight_max = NonZeroU32::new(8).unwrap();
    (server, endpoint(webhook), spoken)
}

#[track_caller]
fn is_delivered(outcome: &Outcome) {
    assert_eq!((outcome.verdict, outcome.status), (Verdict::Delivered, Some(200)), "{outcome:?}");
}

#[test]
fn an_unprocessed_stream_is_repeated_on_a_fresh_connection() {
    const OTHERS: &[Says] = &[Says::Ok];
    const CASES: [&[&[Says]]; 7] = [
        &[&[Says::Ok, Says::Reset(REFUSED_STREAM)], OTHERS],
        &[&[Says::Ok, Says::GoAway(NO_ERROR)], OTHERS],
        &[&[Says::Ok, Says::GoAway(INTERNAL_ERROR)], OTHERS],
        &[&[Says::Ok, Says::Closes], OTHERS],
        // A refused stream was certainly not processed, even the first one of a connection.
        &[&[Says::Reset(REFUSED_STREAM)], OTHERS],
        &[&[Says::GoAway(NO_ERROR)], OTHERS],
        &[&[Says::Ok, Says::Ok, Says::Closes], OTHERS],
    ];
    run(async {
        for scripts in CASES {
            let (server, endpoint, _) = scripted(scripts, false).await;
            for _ in scripts[0] {
                is_delivered(&attempt(&endpoint).await);
            }
            assert_eq!(server.connections(), 2, "{:?}", scripts[0]);
        }
    });
}

#[test]
fn a_failed_stream_is_the_endpoints_failure_and_no_exchange_is_repeated_twice() {
    const CASES: [(&[&[Says]], usize); 6] = [
        (&[&[Says::Ok, Says::Reset(INTERNAL_ERROR)]], 1),
        (&[&[Says::Ok, Says::Reset(CANCEL)]], 1),
        (&[&[Says::Ok, Says::Reset(NO_ERROR)]], 1),
        (&[&[Says::Ok, Says::Reset(REFUSED_STREAM)], &[Says::Reset(REFUSED_STREAM)]], 2),
        (&[&[Says::Ok, Says::Closes], &[Says::Closes]], 2),
        (&[&[Says::Ok, Says::GoAway(PROTOCOL_ERROR)], &[Says::GoAway(NO_ERROR)]], 2),
    ];
    run(async {
        for (scripts, connections) in CASES {
            let (server, endpoint, _) = scripted(scripts, false).await;
            is_delivered(&attempt(&endpoint).await);
            let outcome = attempt(&endpoint).await;
            let then = (outcome.verdict, outcome.reason);
            assert_eq!(then, (Verdict::Retry, Some(ErrorReason::Unreachable)), "{scripts:?}");
            assert_eq!(server.connections(), connections, "{scripts:?}");
        }
    });
}

#[test]
fn an_endpoint_that_demands_http_1_1_is_called_with_it_from_then_on() {
    const CASES: [&[&[Says]]; 3] = [
        &[&[Says::Reset(HTTP_1_1_REQUIRED)]],
        &[&[Says::GoAway(HTTP_1_1_REQUIRED)]],
        &[&[Says::Ok, Says::Reset(HTTP_1_1_REQUIRED)]],
    ];
    run(async {
        for scripts in CASES {
            let (server, endpoint, spoken) = scripted(scripts, false).await;
            for _ in 0..5 {
                is_delivered(&attempt(&endpoint).await);
            }
            let spoken = spoken.lock().unwrap();
            assert_eq!(spoken.iter().filter(|spoken| **spoken == "h2").count(), 1);
            assert!(spoken.iter().skip(1).all(|spoken| *spoken == "http/1.1"), "{spoken:?}");
            // One HTTP/2 connection, one new HTTP/1.1 connection for the repeated request, and one that is kept.
            assert_eq!(server.connections(), 3);
        }
    });
}

#[test]
fn http2_is_not_offered_where_the_definition_says_so() {
    run(async {
        let (server, endpoint, spoken) = scripted(&[&[Says::Closes]], true).await;
        for _ in 0..3 {
            is_delivered(&attempt(&endpoint).await);
        }
        assert_eq!(*spoken.lock().unwrap(), ["http/1.1"; 3]);
        assert_eq!(server.connections(), 1);
    });
}

/// The HTTP/2 answer can't be parsed, so its result is unknown. The next attempt uses HTTP/1.1.
#[test]
fn an_endpoint_with_unreadable_http2_is_called_with_http_1_1_at_the_next_attempt() {
    run(async {
        let (server, endpoint, spoken) = scripted(&[&[Says::Malformed]], false).await;
        let outcome = attempt(&endpoint).await;
        let then = (outcome.verdict, outcome.reason);
        assert_eq!(then, (Verdict::Retry, Some(ErrorReason::InvalidResponse)), "{outcome:?}");
        assert_eq!(server.connections(), 1, "it has answered, so the exchange is not repeated");
        is_delivered(&attempt(&endpoint).await);
        assert_eq!(*spoken.lock().unwrap(), ["h2", "http/1.1"]);
    });
}

#[test]
fn an_endpoint_that_offers_only_http2_is_called_with_it_again() {
    run(async {
        const SCRIPTS: &[&[Says]] = &[&[Says::Malformed, Says::Ok]];
        let (_server, endpoint, spoken) = speaking(&["h2"], SCRIPTS, false).await;
        let outcome = attempt(&endpoint).await;
        assert_eq!(outcome.reason, Some(ErrorReason::InvalidResponse), "{outcome:?}");
        let outcome = attempt(&endpoint).await;
        assert_eq!(outcome.reason, Some(ErrorReason::Unreachable), "{outcome:?}");
        is_delivered(&attempt(&endpoint).await);
        assert_eq!(*spoken.lock().unwrap(), ["h2"], "the connection works throughout");
    });
}
