//! Tests of requests that are authorised by a token.

use super::server::{Server, raw, request};
use super::*;
use crate::definition::template::{DefinitionPart, Need, TextTemplate, Tokens, UrlTemplate};
use crate::definition::{Credentials, Request};
use crate::domain::Rendered;
use std::io::Write as _;
use std::sync::mpsc::{Receiver, channel};

/// A token is renewed after a 401 only if it is older than `RENEWAL_PAUSE`.
const OLD_ENOUGH: Duration = Duration::from_millis(1100);

/// Starts a server that answers each request with the result of `answer`. The receiver gets each request.
fn server(answer: impl Fn(&str) -> String + Clone + Send + 'static) -> (Server, Receiver<String>) {
    let (sender, requests) = channel();
    let server = raw(move |mut connection| {
        while let Some(request) = request(&mut connection) {
            let answer = answer(&request);
            // The receiver may be gone if the test does not wait for it.
            let _ = sender.send(request);
            if connection.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    });
    (server, requests)
}

fn says(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn token(number: usize, lifetime: &str) -> String {
    let body = format!(
        r#"{{"access_token":"token-{number}","token_type":"bearer","expires_in":{lifetime}}}"#
    );
    says("200 OK", &body)
}

/// Starts a token server that numbers its tokens.
fn token_server(lifetime: &'static str) -> (Server, Receiver<String>) {
    let count = Arc::new(AtomicUsize::new(0));
    server(move |_| token(count.fetch_add(1, Ordering::SeqCst) + 1, lifetime))
}

fn credentials(token_url: &str, sent_in: SentIn) -> Auth {
    Auth::OAuth2(Box::new(ClientCredentials {
        token_url: token_url.parse().unwrap(),
        client_id: "ring back".to_owned(),
        client_secret: Secret::new("s3cret:&".to_owned()),
        scope: Some("hooks:write a".to_owned()),
        audience: None,
        sent_in,
    }))
}

fn authorised(url: &str, auth: Auth) -> Endpoint {
    endpoint(Webhook { auth, ..webhook(url) })
}

fn authorization(requests: &Receiver<String>) -> Vec<String> {
    let lines = |request: String| {
        let found = request.lines().find_map(|line| line.strip_prefix("authorization: "));
        found.unwrap_or_default().to_owned()
    };
    requests.try_iter().map(lines).collect()
}

#[test]
fn a_bearer_token_is_sent_with_every_request_and_never_shown() {
    run(async {
        let (receiver, requests) = server(|_| says("200 OK", ""));
        let token = Auth::Bearer(Secret::new("t0ken".to_owned()));
        let endpoint = authorised(&receiver.url(), token);
        assert_eq!(attempt(&endpoint).await.verdict, Verdict::Delivered);
        assert_eq!(authorization(&requests), ["Bearer t0ken"]);
        assert!(endpoint.public_headers().all(|(name, _)| name != "authorization"));
        assert!(!format!("{:?}", endpoint.webhook()).contains("t0ken"));
    });
}

#[test]
fn a_token_is_fetched_once_and_kept() {
    run(async {
        let (tokens, asked) = token_server("3600");
        let (receiver, requests) = server(|_| says("200 OK", ""));
        let endpoint = authorised(&receiver.url(), credentials(&tokens.url(), SentIn::Header));
        let (first, second) = tokio::join!(attempt(&endpoint), attempt(&endpoint));
        for outcome in [first, second, attempt(&endpoint).await] {
            assert_eq!(outcome.verdict, Verdict::Delivered, "{outcome:?}");
        }
        assert_eq!(authorization(&requests), ["Bearer token-1"; 3]);
        let asked: Vec<String> = asked.try_iter().collect();
        let [asked] = asked.as_slice() else { panic!("{asked:?}") };
        // RFC 6749, 2.3.1: both parts are form-encoded and then joined.
        assert!(asked.contains("authorization: Basic cmluZytiYWNrOnMzY3JldCUzQSUyNg=="), "{asked}");
        assert!(asked.ends_with("grant_type=client_credentials&scope=hooks%3Awrite+a"), "{asked}");
    });
}

#[test]
fn credentials_may_be_sent_in_the_body() {
    run(async {
        let (tokens, asked) = token_server("\"3600\"");
        let (receiver, _requests) = server(|_| says("200 OK", ""));
        let endpoint = authorised(&receiver.url(), credentials(&tokens.url(), SentIn::Body));
        assert_eq!(attempt(&endpoint).await.verdict, Verdict::Delivered);
        let asked = asked.recv().unwrap();
        assert!(!asked.contains("authorization"), "{asked}");
        assert!(asked.ends_with("&client_id=ring+back&client_secret=s3cret%3A%26"), "{asked}");
    });
}

#[test]
fn an_expired_or_refused_token_is_renewed_once() {
    run(async {
        // A token with a lifetime of zero is fetched for every attempt.
        let (tokens, asked) = token_server("0");
        let (receiver, requests) = server(|_| says("200 OK", ""));
        let endpoint = authorised(&receiver.url(), credentials(&tokens.url(), SentIn::Header));
        attempt(&endpoint).await;
        attempt(&endpoint).await;
        assert_eq!(authorization(&requests), ["Bearer token-1", "Bearer token-2"]);
        assert_eq!(asked.try_iter().count(), 2);

        // This endpoint stops accepting the first token.
        let (tokens, asked) = token_server("3600");
        let seen = Arc::new(AtomicUsize::new(0));
        let (receiver, requests) = server(move |request| {
            let is_first = seen.fetch_add(1, Ordering::SeqCst) == 0;
            let is_good = is_first || request.contains("Bearer token-2");
            says(if is_good { "200 OK" } else { "401 Unauthorized" }, "")
        });
        let endpoint = authorised(&receiver.url(), credentials(&tokens.url(), SentIn::Header));
        assert_eq!(attempt(&endpoint).await.verdict, Verdict::Delivered);
        tokio::time::sleep(OLD_ENOUGH).await;
        assert_eq!(attempt(&endpoint).await.verdict, Verdict::Delivered, "with a new token");
        assert_eq!(
            authorization(&requests),
            ["Bearer token-1", "Bearer token-1", "Bearer token-2"]
        );
        assert_eq!(asked.try_iter().count(), 2);
    });
}

#[test]
fn a_request_with_a_refused_token_is_repeated_only_when_the_token_is_old_enough() {
    run(async {
        let (tokens, asked) = token_server("3600");
        let (receiver, requests) = server(|_| says("401 Unauthorized", ""));
        let endpoint = authorised(&receiver.url(), credentials(&tokens.url(), SentIn::Header));
        for _ in 0..3 {
            let outcome = attempt(&endpoint).await;
            assert_eq!(outcome.reason, Some(ErrorReason::AuthenticationFailure));
            assert_eq!((outcome.status, outcome.verdict), (Some(401), Verdict::GiveUp));
        }
        // The token was fetched just now, so a new one is not requested.
        assert_eq!(authorization(&requests), ["Bearer token-1"; 3]);
        tokio::time::sleep(OLD_ENOUGH).await;
        let outcome = attempt(&endpoint).await;
        assert_eq!(authorization(&requests), ["Bearer token-1", "Bearer token-2"]);
        assert_eq!(outcome.verdict, Verdict::GiveUp);
        assert_eq!(asked.try_iter().count(), 2);
    });
}

/// A failed renewal does not invalidate the existing token.
#[test]
fn a_token_is_kept_until_there_is_another() {
    run(async {
        let count = Arc::new(AtomicUsize::new(0));
        let (tokens, _asked) = server(move |_| match count.fetch_add(1, Ordering::SeqCst) {
            0 => token(1, "3600"),
            _ => says("503 Service Unavailable", ""),
        });
        let seen = Arc::new(AtomicUsize::new(0));
        let (receiver, _requests) = server(move |_| {
            let is_odd_one = seen.fetch_add(1, Ordering::SeqCst) == 1;
            says(if is_odd_one { "401 Unauthorized" } else { "200 OK" }, "")
        });
        let endpoint = authorised(&receiver.url(), credentials(&tokens.url(), SentIn::Header));
        assert_eq!(attempt(&endpoint).await.verdict, Verdict::Delivered);
        tokio::time::sleep(OLD_ENOUGH).await;
        assert_eq!(
            attempt(&endpoint).await.verdict,
            Verdict::Retry,
            "a new token is not available"
        );
        assert_eq!(attempt(&endpoint).await.verdict, Verdict::Delivered, "with the first token");
    });
}

#[test]
fn the_token_servers_answer_decides_whether_the_attempt_is_retried() {
    run(async {
        let html = "<p>hush</p>";
        let code = r#"{"error":"invalid_client","error_description":"hush"}"#;
        let odd = r#"{"error":"hush"}"#;
        let cases = [
            ("401 Unauthorized", code, Verdict::GiveUp, "answered 401: invalid_client"),
            ("400 Bad Request", odd, Verdict::GiveUp, "answered 400"),
            ("302 Found", html, Verdict::GiveUp, "answered 302"),
            ("503 Service Unavailable", html, Verdict::Retry, "answered 503"),
            ("429 Too Many Requests", html, Verdict::Retry, "answered 429"),
            ("200 OK", html, Verdict::Retry, "'s answer holds no bearer token"),
            (
                "200 OK",
                r#"{"access_token":"hush","token_type":"mac"}"#,
                Verdict::Retry,
                "'s answer holds no bearer token",
            ),
            (
                "200 OK",
                "{\"access_token\":\"a\\nb\",\"token_type\":\"Bearer\"}",
                Verdict::Retry,
                "'s answer holds no bearer token",
            ),
        ];
        for (status, body, verdict, text) in cases {
            let (tokens, _asked) = server(move |_| says(status, body));
            let (receiver, requests) = server(|_| says("200 OK", ""));
            let endpoint = authorised(&receiver.url(), credentials(&tokens.url(), SentIn::Header));
            let outcome = attempt(&endpoint).await;
            assert_eq!(outcome.verdict, verdict, "{outcome:?}");
            assert_eq!(outcome.reason, Some(ErrorReason::AuthenticationFailure), "{outcome:?}");
            let said = outcome.error.as_deref().unwrap_or_default();
            let wanted = format!("the token server {text}").replace("server 's", "server's");
            assert_eq!(said, wanted, "without the token server's own text");
            assert_eq!(requests.try_iter().count(), 0, "nothing is sent without a token");
        }
    });
}

#[test]
fn the_outcome_says_that_a_token_server_is_unreachable_hangs_or_is_forbidden() {
    run(async {
        let (receiver, _requests) = server(|_| says("200 OK", ""));
        let gone = Server::gone().url();
        let outcome =
            attempt(&authorised(&receiver.url(), credentials(&gone, SentIn::Header))).await;
        assert_eq!(outcome.reason, Some(ErrorReason::Unreachable), "{outcome:?}");
        let said = outcome.error.as_deref().unwrap_or_default();
        assert!(said.starts_with("the token server: no connection"), "{said}");

        let outcome =
            attempt(&authorised(&receiver.url(), credentials("http://10.0.0.1/", SentIn::Header)))
                .await;
        is_blocked(&outcome, "10.0.0.1");
        let forbidden = credentials("http://10.0.0.1/", SentIn::Header);
        assert!(authorised(&receiver.url(), forbidden).blocked().is_some(), "the start reports it");

        let (end, ended) = channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        let hangs = raw(move |mut connection| {
            request(&mut connection);
            // Blocks until the test ends.
            let _ = ended.lock().unwrap().recv();
        });
        let webhook = Webhook {
            auth: credentials(&hangs.url(), SentIn::Header),
            request_timeout: Duration::from_millis(200),
            ..webhook(&receiver.url())
        };
        let outcome = attempt(&endpoint(webhook)).await;
        assert_eq!(outcome.reason, Some(ErrorReason::Timeout), "{outcome:?}");
        drop(end);
    });
}

#[test]
fn attempts_that_wait_for_a_token_share_a_failed_request() {
    run(async {
        let (tokens, asked) = server(|_| {
            std::thread::sleep(Duration::from_millis(50));
            says("503 Service Unavailable", "")
        });
        let (receiver, _requests) = server(|_| says("200 OK", ""));
        let endpoint = authorised(&receiver.url(), credentials(&tokens.url(), SentIn::Header));
        let (a, b, c) = tokio::join!(attempt(&endpoint), attempt(&endpoint), attempt(&endpoint));
        for outcome in [a, b, c] {
            assert_eq!(outcome.verdict, Verdict::Retry, "{outcome:?}");
        }
        assert_eq!(asked.try_iter().count(), 1);
        attempt(&endpoint).await;
        assert_eq!(asked.try_iter().count(), 1, "a later attempt asks again");
    });
}

#[test]
fn a_busy_token_servers_retry_after_counts() {
    run(async {
        let busy = "429 Too Many Requests\r\nretry-after: 7";
        let (tokens, _asked) = server(move |_| says(busy, ""));
        let endpoint = authorised("http://127.0.0.1:9/", credentials(&tokens.url(), SentIn::Body));
        let outcome = attempt(&endpoint).await;
        assert_eq!(outcome.reason, Some(ErrorReason::AuthenticationFailure), "{outcome:?}");
        assert_eq!((outcome.verdict, outcome.retry_after_ms), (Verdict::Retry, Some(7000)));
    });
}

#[test]
fn an_endless_refusal_of_a_token_server_is_a_refusal() {
    run(async {
        let tokens = raw(|mut connection| {
            request(&mut connection);
            let head = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 1000000\r\n\r\n";
            connection.write_all(head).unwrap();
            super::server::drip(&mut connection, b"x", Duration::from_millis(10));
        });
        let endpoint = authorised("http://127.0.0.1:9/", credentials(&tokens.url(), SentIn::Body));
        let outcome = attempt(&endpoint).await;
        assert_eq!(outcome.verdict, Verdict::GiveUp, "{outcome:?}");
        assert!(
            (2000..5000).contains(&outcome.duration_ms),
            "much less than the time-out: {outcome:?}"
        );
    });
}

#[test]
fn an_answer_that_repeats_a_token_is_kept_without_it() {
    run(async {
        let (tokens, _asked) = token_server("3600");
        let count = Arc::new(AtomicUsize::new(0));
        let (receiver, _requests) = server(move |request| {
            let first = count.fetch_add(1, Ordering::SeqCst) == 0;
            says(if first { "503 X" } else { "401 X" }, request)
        });
        let endpoint = authorised(&receiver.url(), credentials(&tokens.url(), SentIn::Header));
        for _ in 0..2 {
            let outcome = attempt(&endpoint).await;
            let kept = String::from_utf8(outcome.response.to_vec()).unwrap();
            assert!(
                kept.contains("authorization: Bearer ***") && !kept.contains("token-1"),
                "{kept}"
            );
        }
        tokio::time::sleep(OLD_ENOUGH).await;
        let outcome = attempt(&endpoint).await;
        let kept = String::from_utf8(outcome.response.to_vec()).unwrap();
        assert!(kept.contains("authorization: Bearer ***") && !kept.contains("token-2"), "{kept}");
    });
}

#[test]
fn an_answer_that_repeats_rendered_credentials_is_kept_without_them() {
    let template =
        |text: &str, part| TextTemplate::parse(text, &part, &|_| true, &Tokens::new()).unwrap();
    run(async {
        let (receiver, _requests) =
            server(|request| says("503 X", &format!("hunter%22-7 {request}")));
        let url = UrlTemplate::parse(&receiver.url(), &Tokens::new(), &|_| Need::Unsaid).unwrap();
        let credentials = Credentials {
            username: template("user", DefinitionPart::Username),
            password: template("hunter$flow.key.pin", DefinitionPart::Password),
        };
        let request =
            Request { url, query: Vec::new(), headers: Vec::new(), credentials: Some(credentials) };
        let request = Some(Arc::new(request));
        let endpoint = endpoint(Webhook { request, ..webhook(&receiver.url()) });
        let values = Bytes::from_static(br#"{"$flow.key.pin":"\"-7"}"#);
        let rendered = Rendered { content_type: None, values };
        let message =
            Message { body: Bytes::from_static(b"{}"), rendered: Some(&rendered), trace: None };
        let outcome = endpoint.attempt(DeliveryId::from_bytes([7; 16]), 1, message, 1).await;
        let outcome = outcome.expect("there is no shortage");
        let kept = String::from_utf8(outcome.response.to_vec()).unwrap();
        // `user:hunter"-7`
        let pair = "dXNlcjpodW50ZXIiLTc=";
        assert!(kept.starts_with("*** POST") && !kept.contains(pair), "{kept}");
        assert!(kept.contains("authorization: Basic ***"), "{kept}");
    });
}
