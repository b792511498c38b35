//! Tests of response maps: webhooks that need more of an answer than its status.

use super::server::says;
use super::{attempt, endpoint, run, webhook};
use crate::definition::mapping::{AnswerFormat, EntryText, ResponseMap};
use crate::delivery::{Response, Webhook};
use crate::domain::{ErrorReason, Outcome, Verdict};
use std::sync::Arc;

/// Returns the outcome of an answer whose member `a` is mapped `times` times.
fn outcome(answer: &str, times: usize, retry: bool) -> Outcome {
    let mut outcome = None;
    run(async {
        let server = says(answer);
        let entries = vec![EntryText { path: "a", mandatory: true }; times];
        let response = Response {
            map: ResponseMap::parse(AnswerFormat::Json, &entries, &[]).unwrap(),
            save_in: (0..times).map(|n| Some(format!("$flow.key.a{n}").into())).collect(),
            retry,
            by_name: false,
        };
        let response = Some(Arc::new(response));
        let endpoint = endpoint(Webhook { response, ..webhook(&server.url()) });
        outcome = Some(attempt(&endpoint).await);
    });
    outcome.unwrap()
}

fn whole(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn an_incomplete_answer_is_retried_whatever_the_definition_says() {
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"a\":1}";
    let outcome = outcome(broken, 1, false);
    assert_eq!(outcome.verdict, Verdict::Retry, "{outcome:?}");
    assert_eq!(outcome.reason, Some(ErrorReason::InvalidResponse), "{outcome:?}");
    assert!(outcome.response_truncated && outcome.mapped.is_empty(), "{outcome:?}");
}

#[test]
fn a_too_long_or_unusable_answer_is_final_unless_the_definition_says_otherwise() {
    let long = whole(&format!("{{\"a\":\"{}\"}}", "x".repeat(70_000)));
    for (answer, reason) in [
        (long, ErrorReason::InvalidResponse),
        (whole("a"), ErrorReason::InvalidResponse),
        (whole(""), ErrorReason::InvalidResponse),
        (whole("{\"a\":null}"), ErrorReason::InvalidResponseMap),
    ] {
        for (retry, verdict) in [(false, Verdict::GiveUp), (true, Verdict::Retry)] {
            let outcome = outcome(&answer, 1, retry);
            assert_eq!((outcome.verdict, outcome.reason), (verdict, Some(reason)), "{outcome:?}");
            assert_eq!(outcome.status, Some(200));
        }
    }
}

#[test]
fn the_size_of_all_mapped_values_is_limited() {
    let answer = whole(&format!("{{\"a\":\"{}\"}}", "x".repeat(30_000)));
    assert_eq!(outcome(&answer, 2, false).mapped.len(), 2);
    let outcome = outcome(&answer, 3, false);
    assert_eq!(outcome.reason, Some(ErrorReason::InvalidResponseMap), "{outcome:?}");
    assert!(outcome.mapped.is_empty());
}

#[test]
fn the_answer_of_a_failure_is_not_mapped() {
    let outcome = outcome("HTTP/1.1 503 No\r\ncontent-length: 1\r\n\r\na", 1, false);
    assert_eq!(outcome.reason, Some(ErrorReason::Refused), "{outcome:?}");
}
