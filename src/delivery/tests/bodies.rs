//! Tests of how much of an answer is read, and for how long.

use super::answers::outcome;
use super::server::{Server, drip, raw, request, says};
use super::{attempt, endpoint, run, webhook};
use crate::definition::mapping::{AnswerFormat, EntryText, ResponseMap};
use crate::delivery::{Response, Webhook};
use crate::domain::{Outcome, RESPONSE_BYTES_KEPT, Verdict};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

const GZIP: &str = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n";

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn quick(server: &Server) -> Outcome {
    let outcome = outcome(server, Duration::from_secs(10));
    assert_eq!((outcome.status, outcome.verdict), (Some(200), Verdict::Delivered), "{outcome:?}");
    assert!(outcome.duration_ms < 5000, "it does not wait: {outcome:?}");
    outcome
}

#[test]
fn an_answer_is_kept_up_to_its_limit() {
    for (length, kept, truncated) in [
        (RESPONSE_BYTES_KEPT - 1, RESPONSE_BYTES_KEPT - 1, false),
        (RESPONSE_BYTES_KEPT, RESPONSE_BYTES_KEPT, false),
        (RESPONSE_BYTES_KEPT + 1, RESPONSE_BYTES_KEPT, true),
    ] {
        let body = "x".repeat(length);
        let outcome = quick(&says(format!("HTTP/1.1 200 OK\r\n\r\n{body}")));
        assert_eq!((outcome.response.len(), outcome.response_truncated), (kept, truncated));
    }
}

#[test]
fn an_endless_answer_is_cut_and_its_connection_closed() {
    let server = raw(|mut connection| {
        request(&mut connection);
        connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        drip(&mut connection, &[b'x'; 65_536], Duration::ZERO);
    });
    let endpoint = endpoint(webhook(&server.url()));
    run(async {
        for connections in 1..=2 {
            let outcome = attempt(&endpoint).await;
            assert_eq!(outcome.verdict, Verdict::Delivered, "{outcome:?}");
            assert_eq!(outcome.response.len(), RESPONSE_BYTES_KEPT);
            assert!(outcome.response_truncated && outcome.duration_ms < 5000);
            assert_eq!(server.connections(), connections, "a cut connection is not reused");
            // The runtime must run to close the connection.
            while !server.has_ended() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
}

#[test]
fn a_dripping_answer_is_cut_at_the_deadline_and_the_status_counts() {
    let server = raw(|mut connection| {
        request(&mut connection);
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").unwrap();
        drip(&mut connection, b"x", Duration::from_millis(10));
    });
    let outcome = outcome(&server, Duration::from_millis(300));
    assert_eq!((outcome.status, outcome.verdict), (Some(200), Verdict::Delivered), "{outcome:?}");
    assert!(outcome.response_truncated && !outcome.response.is_empty(), "{outcome:?}");
    assert!((300..5000).contains(&outcome.duration_ms), "{outcome:?}");
    server.wait_ended();
}

/// Starts a server that sends this head and then a slow body without end.
fn drips(head: &str) -> Server {
    let head = format!("HTTP/1.1 {head}\r\n\r\n");
    raw(move |mut connection| {
        while request(&mut connection).is_some() {
            connection.write_all(head.as_bytes()).unwrap();
            drip(&mut connection, b"x", Duration::from_millis(10));
        }
    })
}

#[test]
fn the_end_of_an_unneeded_body_is_awaited_for_two_seconds() {
    run(async {
        for (head, verdict) in [
            ("200 OK", Verdict::Delivered),
            ("201 Created\r\ncontent-length: 1000000", Verdict::Delivered),
            ("400 Bad Request", Verdict::GiveUp),
            ("503 Service Unavailable", Verdict::Retry),
        ] {
            let server = drips(head);
            let endpoint = endpoint(webhook(&server.url()));
            for connections in 1..=2 {
                let outcome = attempt(&endpoint).await;
                assert_eq!(outcome.verdict, verdict, "{outcome:?}");
                assert!(
                    (2000..5000).contains(&outcome.duration_ms),
                    "much less than the time-out: {outcome:?}"
                );
                assert!(outcome.response_truncated && !outcome.response.is_empty(), "{outcome:?}");
                assert_eq!(server.connections(), connections, "the connection is not reused");
            }
        }
    });
}

fn mapping() -> Response {
    let entries = [EntryText { path: "id", mandatory: true }];
    let map = ResponseMap::parse(AnswerFormat::Json, &entries, &[]).unwrap();
    Response { map, save_in: vec![Some("$flow.key.id".into())], retry: false, by_name: false }
}

#[test]
fn a_body_for_a_response_map_is_awaited_until_the_deadline() {
    run(async {
        for (head, took_ms) in [("200 OK", 3000..9000), ("500 Oops", 2000..3000)] {
            let server = drips(head);
            let wanting = Webhook {
                response: Some(Arc::new(mapping())),
                request_timeout: Duration::from_secs(3),
                ..webhook(&server.url())
            };
            let outcome = attempt(&endpoint(wanting)).await;
            assert_eq!(outcome.verdict, Verdict::Retry, "{outcome:?}");
            assert!(took_ms.contains(&outcome.duration_ms), "{head}: {outcome:?}");
        }
    });
}

#[test]
fn gzip_is_asked_for_and_unpacked() {
    let server = raw(|mut connection| {
        let request = request(&mut connection).unwrap();
        assert!(request.contains("accept-encoding: gzip\r\n"), "{request}");
        connection.write_all(&[format!("{GZIP}\r\n").as_bytes(), &gzip(b"ok")].concat()).unwrap();
    });
    let outcome = quick(&server);
    assert_eq!((outcome.response.as_ref(), outcome.response_truncated), (&b"ok"[..], false));
    // A content encoding that was not requested is kept as it came.
    for encoding in ["br", "deflate", "zstd", "gzip, gzip", "compress"] {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-encoding: {encoding}\r\n\r\nsqueezed");
        assert_eq!(quick(&says(answer)).response, "squeezed", "{encoding}");
    }
    let outcome = quick(&says(format!("{GZIP}content-length: 0\r\n\r\n")));
    assert!(outcome.response.is_empty() && !outcome.response_truncated, "{outcome:?}");
}

#[test]
fn bodies_that_unpack_to_more_than_the_limit_are_cut() {
    // 256 MiB, packed into 256 KiB.
    let bomb = gzip(&vec![b'x'; 256 << 20]);
    assert!(bomb.len() < 300_000, "{}", bomb.len());
    for rest in [format!("content-length: {}\r\n\r\n", bomb.len()), "\r\n".to_owned()] {
        let outcome = quick(&says([(GZIP.to_owned() + &rest).as_bytes(), &bomb].concat()));
        assert!(outcome.response_truncated);
        assert_eq!(outcome.response.len(), RESPONSE_BYTES_KEPT);
        assert!(outcome.response.iter().all(|byte| *byte == b'x'));
    }
}

#[test]
fn endless_packed_answers_are_cut_and_their_connections_closed() {
    // An endless stream of zeros, and an endless stream of empty blocks.
    for content in [&[0; 65_536][..], &[]] {
        let server = raw(move |mut connection| {
            request(&mut connection);
            connection.write_all(format!("{GZIP}\r\n").as_bytes()).unwrap();
            let mut encoder = GzEncoder::new(connection, Compression::fast());
            while encoder.write_all(content).and_then(|()| encoder.flush()).is_ok() {}
            // The client has closed the connection, so the rest of the stream is not needed.
            let _ = encoder.try_finish();
        });
        let outcome = outcome(&server, Duration::from_millis(500));
        assert_eq!(outcome.verdict, Verdict::Delivered, "{outcome:?}");
        assert!(outcome.response_truncated && outcome.duration_ms < 5000, "{outcome:?}");
        assert_eq!(outcome.response.is_empty(), content.is_empty());
        server.wait_ended();
    }
}

#[test]
fn an_answer_that_cannot_be_unpacked_is_cut_and_the_status_counts() {
    let whole = gzip(&[b'x'; 100_000]);
    for packed in [b"no gzip at all".as_slice(), whole.get(..whole.len() / 2).unwrap()] {
        let outcome = quick(&says([format!("{GZIP}\r\n").as_bytes(), packed].concat()));
        assert!(outcome.response_truncated, "{outcome:?}");
    }
    let trailing = [format!("{GZIP}\r\n").as_bytes(), &gzip(b"ok"), b"more"].concat();
    assert_eq!(quick(&says(trailing)).response, "ok");
}

#[test]
fn an_answer_to_head_has_no_body_whatever_it_says() {
    let webhook = |url: &str| Webhook { method: http::Method::HEAD, ..webhook(url) };
    for head in [format!("{GZIP}content-length: 500\r\n\r\n"), GZIP.to_owned() + "\r\n"] {
        let server = says(head);
        run(async {
            let outcome = attempt(&endpoint(webhook(&server.url()))).await;
            assert_eq!(outcome.verdict, Verdict::Delivered, "{outcome:?}");
            assert!(outcome.response.is_empty() && !outcome.response_truncated, "{outcome:?}");
        });
    }
}
