//! Tests of the answers that an endpoint may give, and of the outcomes that they become.

use super::server::{Server, drip, raw, request, says};
use super::{attempt, endpoint, run, webhook};
use crate::delivery::Webhook;
use crate::domain::ErrorReason::{
    AuthenticationFailure, InvalidResponse, Refused, Timeout, Unreachable,
};
use crate::domain::Verdict::{Delivered, GiveUp, Retry};
use crate::domain::{ErrorReason, Outcome, Verdict};
use std::io::{Read as _, Write as _};
use std::time::Duration;

/// Makes one attempt at `server` with this time-out.
pub(super) fn outcome(server: &Server, timeout: Duration) -> Outcome {
    let webhook = Webhook { request_timeout: timeout, ..webhook(&server.url()) };
    let mut outcome = None;
    run(async { outcome = Some(attempt(&endpoint(webhook)).await) });
    outcome.unwrap()
}

/// Checks the outcome for a server that sends `answer` and closes the connection.
#[track_caller]
fn check(answer: impl Into<Vec<u8>>, then: (Option<u16>, Verdict, Option<ErrorReason>)) -> Outcome {
    let outcome = outcome(&says(answer), Duration::from_secs(10));
    assert_eq!((outcome.status, outcome.verdict, outcome.reason), then, "{outcome:?}");
    assert_eq!(outcome.error.is_none(), outcome.status.is_some(), "{outcome:?}");
    outcome
}

#[test]
fn the_status_decides() {
    for (status, verdict, reason) in [
        (200, Delivered, None),
        (201, Delivered, None),
        (204, Delivered, None),
        (299, Delivered, None),
        (400, GiveUp, Some(Refused)),
        (401, GiveUp, Some(AuthenticationFailure)),
        (404, GiveUp, Some(Refused)),
        (407, GiveUp, Some(Refused)),
        (408, Retry, Some(Refused)),
        (410, GiveUp, Some(Refused)),
        (425, Retry, Some(Refused)),
        (429, Retry, Some(Refused)),
        (500, Retry, Some(Refused)),
        (503, Retry, Some(Refused)),
        (599, Retry, Some(Refused)),
        (999, Retry, Some(Refused)),
    ] {
        let outcome =
            check(format!("HTTP/1.1 {status} X\r\n\r\n"), (Some(status), verdict, reason));
        assert!(outcome.response.is_empty() && !outcome.response_truncated, "{outcome:?}");
    }
    let ok = (Some(200), Delivered, None);
    for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "HTTP/1.0 200 OK\r\n\r\nok"] {
        let outcome = check(answer, ok);
        assert_eq!(outcome.response, "ok");
        assert!(!outcome.response_truncated, "{outcome:?}");
    }
    let chunked =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n";
    assert_eq!(check(chunked, ok).response, "ok");
}

#[test]
fn statuses_of_the_webhook_are_retried_beside_those_that_always_are() {
    for (status, verdict) in [(404, Retry), (409, GiveUp), (503, Retry)] {
        let server = says(format!("HTTP/1.1 {status} X\r\n\r\n"));
        let webhook = Webhook { retried: [404].into(), ..webhook(&server.url()) };
        run(async { assert_eq!(attempt(&endpoint(webhook)).await.verdict, verdict, "{status}") });
    }
}

#[test]
fn an_answer_can_end_the_delivery_or_disable_the_endpoint() {
    for (status, words, verdict, disables) in [
        (503, "later", Retry, false),
        (503, "abort-message", GiveUp, false),
        (503, "disable", GiveUp, true),
        (200, "abort-message", Delivered, false),
        (200, "disable", Delivered, true),
    ] {
        let answer = format!("HTTP/1.1 {status} X\r\nwebhook-delivery: {words}\r\n\r\n");
        let outcome = outcome(&says(answer), Duration::from_secs(10));
        assert_eq!((outcome.verdict, outcome.disables), (verdict, disables), "{status} {words}");
    }
}

#[test]
fn retry_after_is_read_from_the_answer() {
    let answer = |status| format!("HTTP/1.1 {status} X\r\nretry-after: 120\r\n\r\n");
    for status in [429, 503] {
        let outcome = check(answer(status), (Some(status), Retry, Some(Refused)));
        assert_eq!(outcome.retry_after_ms, Some(120_000));
    }
    assert_eq!(check(answer(500), (Some(500), Retry, Some(Refused))).retry_after_ms, None);
}

#[test]
fn a_redirect_is_final_and_not_followed() {
    let elsewhere = says("HTTP/1.1 200 OK\r\n\r\n");
    for status in [300, 301, 302, 303, 304, 305, 307, 308] {
        let answer = format!("HTTP/1.1 {status} X\r\nlocation: {}\r\n\r\n", elsewhere.url());
        check(answer, (Some(status), GiveUp, Some(Refused)));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn informational_answers_are_skipped() {
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n\
                  HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    assert_eq!(check(answer, (Some(200), Delivered, None)).response, "ok");
    let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    check(switch, (Some(101), GiveUp, Some(Refused)));
    let alone = "HTTP/1.1 100 Continue\r\n\r\n";
    check(alone, (None, Retry, Some(Unreachable)));
}

#[test]
fn endless_informational_answers_are_a_time_out() {
    for pause in [Duration::ZERO, Duration::from_millis(10)] {
        let server = raw(move |mut connection| {
            request(&mut connection);
            drip(&mut connection, b"HTTP/1.1 103 Early Hints\r\n\r\n", pause);
        });
        times_out(&server);
    }
}

/// Checks that the attempt times out without a status and closes the connection.
fn times_out(server: &Server) {
    let outcome = outcome(server, Duration::from_millis(300));
    let then = (outcome.status, outcome.verdict, outcome.reason);
    assert_eq!(then, (None, Retry, Some(Timeout)), "{outcome:?}");
    assert!((300..15_000).contains(&outcome.duration_ms), "{outcome:?}");
    server.wait_ended();
}

#[test]
fn a_missing_or_endless_head_is_a_time_out() {
    times_out(&raw(|mut connection| {
        request(&mut connection);
        // Reads until the client closes the connection.
        let _ = connection.read(&mut [0]);
    }));
    times_out(&raw(|mut connection| {
        request(&mut connection);
        connection.write_all(b"HTTP/1.1 200 ").unwrap();
        drip(&mut connection, b"O", Duration::from_millis(10));
    }));
}

#[test]
fn bytes_that_are_not_http_are_an_invalid_response() {
    for answer in [
        "hello\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2p1\r\n",
        "220 mail.example ESMTP\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "\u{0}\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}",
    ] {
        check(answer, (None, Retry, Some(InvalidResponse)));
    }
}

#[test]
fn many_headers_are_read() {
    let answer = |count| {
        let headers: String = (0..count).map(|n| format!("x-{n}: {n}\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{headers}content-length: 2\r\n\r\nok")
    };
    assert_eq!(check(answer(100), (Some(200), Delivered, None)).response, "ok");
    assert_eq!(check(answer(255), (Some(200), Delivered, None)).response, "ok");
}

#[test]
fn a_connection_that_breaks_before_the_status_is_unreachable() {
    check("", (None, Retry, Some(Unreachable)));
    check("HTTP/1.1 200 OK", (None, Retry, Some(Unreachable)));
    // Closing a socket with unread bytes resets the connection.
    let reset = raw(|connection| {
        connection.peek(&mut [0]).unwrap();
    });
    let outcome = outcome(&reset, Duration::from_secs(10));
    assert_eq!((outcome.status, outcome.reason), (None, Some(Unreachable)), "{outcome:?}");
    let outcome = self::outcome(&Server::gone(), Duration::from_secs(10));
    assert_eq!((outcome.status, outcome.reason), (None, Some(Unreachable)), "{outcome:?}");
}

#[test]
fn a_connection_that_breaks_in_the_body_cuts_the_answer() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nZZ\r\n",
    ] {
        let outcome = check(answer, (Some(200), Delivered, None));
        assert_eq!(outcome.response, "ok", "{answer}");
        assert!(outcome.response_truncated, "{outcome:?}");
    }
    let refusal = "HTTP/1.1 400 X\r\ncontent-length: 5\r\n\r\nno";
    assert!(check(refusal, (Some(400), GiveUp, Some(Refused))).response_truncated);
    let reset = raw(|mut connection| {
        connection.read_exact(&mut [0]).unwrap();
        connection.peek(&mut [0]).unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok").unwrap();
    });
    let outcome = outcome(&reset, Duration::from_secs(10));
    assert_eq!((outcome.status, outcome.verdict), (Some(200), Delivered), "{outcome:?}");
    assert!(outcome.response_truncated, "{outcome:?}");
}
