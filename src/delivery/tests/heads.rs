//! Tests of heads as real endpoints send them: once there is a status, the status decides.

use super::answers::outcome;
use super::server::{drip, raw, request, says};
use super::{attempt, endpoint, run, webhook};
use crate::definition::mapping::{AnswerFormat, EntryText, ResponseMap};
use crate::delivery::{Message, Response, Webhook};
use crate::domain::ErrorReason::{InvalidResponse, Refused};
use crate::domain::Verdict::{Delivered, GiveUp, Retry};
use crate::domain::{DeliveryId, Outcome, Rendered};
use bytes::Bytes;
use http::Method;
use std::sync::Arc;
use std::time::Duration;

const PATIENT: Duration = Duration::from_secs(10);

/// Returns the outcome of an answer whose head has `lines` in addition to its length.
fn with(status: &str, lines: &str) -> Outcome {
    let answer = format!("HTTP/1.1 {status}\r\n{lines}\r\ncontent-length: 2\r\n\r\nok");
    outcome(&says(answer), PATIENT)
}

const ODD_LINES: [&str; 12] = [
    "x-a : blank before the colon",
    "content-type\t: text/plain",
    "x-a: folded\r\n  line\r\n\tagain",
    "<br />",
    "PHP Warning:  Undefined variable $a in /srv/a.php on line 3",
    "Notice: a \u{fc} in a name\u{fc}: b",
    "no colon",
    ": no name",
    "x-a: \u{1}control\u{7f}",
    "x-a: latin \u{e4}",
    "x(a): y",
    "set-cookie: a=b\r\nset-cookie : c=d",
];

#[test]
fn invalid_lines_in_a_head_do_not_change_the_outcome() {
    for line in ODD_LINES {
        let outcome = with("200 OK", line);
        let then = (outcome.status, outcome.verdict, outcome.reason);
        assert_eq!(then, (Some(200), Delivered, None), "{line:?}: {outcome:?}");
        assert_eq!((&outcome.response[..], &outcome.error), (&b"ok"[..], &None), "{line:?}");
        let outcome = with("503 No", &format!("{line}\r\nretry-after: 7"));
        let then = (outcome.status, outcome.verdict, outcome.reason);
        assert_eq!(then, (Some(503), Retry, Some(Refused)), "{line:?}: {outcome:?}");
        assert_eq!(outcome.retry_after_ms, Some(7000), "later lines are read: {line:?}");
    }
}

/// Returns lines that make a head unreadable: too many or too large, bytes that some parsers take for the end of a
/// line, and invalid or contradictory lengths.
fn unreadable() -> Vec<String> {
    let many: String = (0..300).map(|number| format!("x-{number}: y\r\n")).collect();
    vec![
        many.trim_end().to_owned(),
        format!("x: {}", "y".repeat(1 << 20)),
        "x: a\0b".to_owned(),
        "x: a\rb".to_owned(),
        "content-length: 1".to_owned(),
        "content-length: -1".to_owned(),
        "content-length: two".to_owned(),
    ]
}

#[test]
fn the_status_of_an_unreadable_head_counts() {
    for lines in unreadable() {
        for (status, verdict, reason) in [
            ("200 OK", Delivered, None),
            ("404 Not Found", GiveUp, Some(Refused)),
            ("500 Oh", Retry, Some(Refused)),
        ] {
            let outcome = with(status, &lines);
            let shown = lines.chars().take(20).collect::<String>();
            let number: u16 = status[..3].parse().unwrap();
            let then = (outcome.status, outcome.verdict, outcome.reason);
            assert_eq!(then, (Some(number), verdict, reason), "{shown:?}: {outcome:?}");
            let error = outcome.error.as_deref().unwrap();
            let says = format!("the status is {number}, but the head of the answer ");
            assert!(error.starts_with(&says), "{error}");
            assert!(outcome.response.is_empty() && outcome.response_truncated, "{outcome:?}");
        }
    }
    let many = with("200 OK", &unreadable()[0]).error.unwrap();
    assert_eq!(&*many, "the status is 200, but the head of the answer is too large");
    let large = with("200 OK", &unreadable()[1]).error.unwrap();
    assert_eq!(&*large, "the status is 200, but the head of the answer is too large");
}

#[test]
fn the_status_of_an_incomplete_head_counts() {
    let breaks = "HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-le";
    let outcome = outcome(&says(breaks), PATIENT);
    assert_eq!((outcome.status, outcome.verdict), (Some(202), Delivered), "{outcome:?}");
    assert!(outcome.error.unwrap().contains("head of the answer broke off"));
    let drips = raw(|mut connection| {
        use std::io::Write as _;
        request(&mut connection);
        connection.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
        drip(&mut connection, b"x: y\r\n", Duration::from_millis(30));
    });
    let outcome = self::outcome(&drips, Duration::from_millis(300));
    assert_eq!((outcome.status, outcome.verdict), (Some(200), Delivered), "{outcome:?}");
    assert!(outcome.error.unwrap().contains("did not end within request_timeout_ms"));
    assert!((300..5000).contains(&outcome.duration_ms));
}

/// The body with the mapped values can't be found without the head.
#[test]
fn a_success_with_a_needed_body_fails_when_its_head_is_unreadable() {
    let server = says("HTTP/1.1 200 OK\r\nx: \0\r\ncontent-length: 7\r\n\r\n{\"a\":1}");
    let entries = [EntryText { path: "a", mandatory: true }];
    let response = Response {
        map: ResponseMap::parse(AnswerFormat::Json, &entries, &[]).unwrap(),
        save_in: vec![Some("$flow.key.a".into())],
        retry: false,
        by_name: false,
    };
    run(async {
        let response = Some(Arc::new(response));
        let endpoint = endpoint(Webhook { response, ..webhook(&server.url()) });
        let outcome = attempt(&endpoint).await;
        let then = (outcome.status, outcome.verdict, outcome.reason);
        assert_eq!(then, (Some(200), Retry, Some(InvalidResponse)), "{outcome:?}");
    });
}

/// Some servers answer 411 to a request without `content-length`.
#[test]
fn a_request_without_content_has_content_length_0() {
    let none = Rendered { content_type: None, values: Bytes::from_static(b"{}") };
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::GET, Method::DELETE] {
        let expected = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
        for rendered in [Some(&none), None] {
            let (send, asked) = std::sync::mpsc::channel();
            let server = raw(move |mut connection| {
                use std::io::Write as _;
                let lengths = request(&mut connection).map_or(Vec::new(), |request| {
                    let lines = request.lines().filter(|line| line.starts_with("content-length"));
                    lines.map(str::to_owned).collect()
                });
                send.send(lengths).unwrap();
                let _ = connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
            });
            run(async {
                let endpoint =
                    endpoint(Webhook { method: method.clone(), ..webhook(&server.url()) });
                let message = Message { body: Bytes::new(), rendered, trace: None };
                let id = DeliveryId::from_bytes([7; 16]);
                let outcome =
                    endpoint.attempt(id, 1, message, 1).await.expect("there is no shortage");
                assert_eq!(outcome.status, Some(204), "{outcome:?}");
            });
            let lengths = asked.recv().unwrap();
            let wanted: &[&str] = if expected { &["content-length: 0"] } else { &[] };
            assert_eq!(lengths, wanted, "{method}");
        }
    }
}
