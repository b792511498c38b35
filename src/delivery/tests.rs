//! Tests of endpoints on real sockets, with look-ups that the tests answer.

mod again;
mod answers;
mod bodies;
mod certificates;
mod connections;
mod heads;
mod http2;
mod proxies;
mod responses;
mod server;
pub(super) mod shortages;
mod tokens;

use super::names::Names;
use super::resolver::Resolver;
use super::*;
use crate::domain::{
    AccountId, DeliveryId, ErrorReason, Outcome, RetrySchedule, Verdict, WebhookName,
};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

pub(super) fn webhook(url: &str) -> Webhook {
    Webhook {
        request: None,
        shown: None,
        secrets: Vec::new(),
        written: Fingerprint::new([0; 32]),
        name: WebhookName::new("w").unwrap(),
        account: AccountId(1),
        url: url.parse().unwrap(),
        method: http::Method::POST,
        auth: Auth::None,
        signing_secrets: Vec::new(),
        signatures: Vec::new(),
        retried: Default::default(),
        body_secrets: None,
        notes: None,
        success: SuccessCodes::default(),
        limits: Limits {
            rate_per_second: None,
            burst: None,
            in_flight_max: NonZeroU32::new(1).unwrap(),
        },
        request_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(10),
        connection_max_age: Duration::from_secs(300),
        tls: Tls::default(),
        breaker: BreakerPolicy::default(),
        retry: RetrySchedule { intervals_ms: vec![5000], randomization_factor: 0.0 },
        retry_after_max: Duration::from_secs(3600),
        http1_only: false,
        proxy: None,
        response: None,
    }
}

/// Returns the system's root certificates, read once because that takes a while.
pub(super) fn trust() -> &'static Trust {
    static TRUST: OnceLock<Trust> = OnceLock::new();
    TRUST.get_or_init(|| Trust::new().unwrap())
}

/// Creates the client of `webhook`, which may call this host.
fn endpoint(webhook: Webhook) -> Endpoint {
    Endpoint::new(Arc::new(webhook), trust(), &policy(&["127.0.0.0/8", "::1/128"])).unwrap()
}

pub(super) fn policy(opened: &[&str]) -> AddressPolicy {
    AddressPolicy::new(opened.iter().map(|network| network.parse().unwrap()))
}

pub(super) async fn attempt(endpoint: &Endpoint) -> Outcome {
    let message = Message { body: Bytes::from_static(b"{}"), rendered: None, trace: None };
    endpoint
        .attempt(DeliveryId::from_bytes([7; 16]), 1, message, 1)
        .await
        .expect("there is no shortage")
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Starts a server that answers 200 to each connection, closes it, and counts the connections.
pub(super) fn receiver(address: &str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let connections = count.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            connections.fetch_add(1, Ordering::SeqCst);
            let mut connection = connection.unwrap();
            let _read = connection.read(&mut [0; 4096]);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            connection.write_all(answer).unwrap();
        }
    });
    (address, count)
}

pub(super) fn is_blocked(outcome: &Outcome, address: &str) {
    assert_eq!(outcome.verdict, Verdict::GiveUp, "{outcome:?}");
    assert_eq!(outcome.reason, Some(ErrorReason::BlockedAddress), "{outcome:?}");
    let text = format!("the address policy forbids {address}");
    assert!(outcome.error.as_ref().is_some_and(|error| error.starts_with(&text)), "{outcome:?}");
}

#[test]
fn an_address_in_the_url_is_checked_however_it_is_spelt() {
    let loopback = [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0177.0.0.1",
        "0x7f.0.0.0x1",
        "%31%32%37.0.0.1",
        "１２７。０。０。１",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:FFFF:127.0.0.1]",
    ];
    let others = [
        ("[::1]", "::1"),
        ("[::127.0.0.1]", "::7f00:1"),
        ("[64:ff9b::a00:1]", "64:ff9b::a00:1"),
        ("0", "0.0.0.0"),
        ("2852039166", "169.254.169.254"),
        ("[fd00:ec2::254]", "fd00:ec2::254"),
        ("192.168.257", "192.168.1.1"),
        ("10.0.0.1", "10.0.0.1"),
        ("100.64.0.1", "100.64.0.1"),
        ("172.16.0.1", "172.16.0.1"),
        ("[fe80::1]", "fe80::1"),
        ("[fd00::1]", "fd00::1"),
        ("[64:ff9b:1::7f00:1]", "64:ff9b:1::7f00:1"),
        ("[2002:7f00:1::1]", "2002:7f00:1::1"),
        ("[2001:0:102:304::1]", "2001:0:102:304::1"),
        ("[::ffff:0:127.0.0.1]", "::ffff:0:7f00:1"),
    ];
    run(async {
        // The listener detects whether a blocked request is sent.
        let (receiver, connections) = receiver("127.0.0.1:0");
        for (host, address) in loopback.map(|host| (host, "127.0.0.1")).into_iter().chain(others) {
            let webhook = webhook(&format!("http://{host}:{}/", receiver.port()));
            let endpoint =
                Endpoint::new(Arc::new(webhook), trust(), &AddressPolicy::default()).unwrap();
            assert!(endpoint.blocked().is_some(), "{host}");
            is_blocked(&attempt(&endpoint).await, address);
        }
        assert_eq!(connections.load(Ordering::SeqCst), 0);
        for host in loopback {
            let webhook = webhook(&format!("http://{host}:{}/", receiver.port()));
            let endpoint =
                Endpoint::new(Arc::new(webhook), trust(), &policy(&["127.0.0.1/32"])).unwrap();
            let outcome = attempt(&endpoint).await;
            assert_eq!(outcome.verdict, Verdict::Delivered, "{host}: {outcome:?}");
        }
        assert_eq!(connections.load(Ordering::SeqCst), loopback.len());
    });
}

/// The owner of a name may change its addresses at any time. So the client connects only to addresses that were
/// checked.
#[test]
fn a_name_is_resolved_once_per_connection_and_only_checked_addresses_are_called() {
    run(async {
        let (forbidden, forbidden_calls) = receiver("127.0.0.1:0");
        let (allowed, allowed_calls) = receiver(&format!("127.0.0.2:{}", forbidden.port()));
        let answers = [vec![forbidden, allowed], vec![forbidden], vec![allowed]];
        let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
        let left = answers.clone();
        let look_up = move |name: String| {
            assert_eq!(name, "hooks.example");
            let answer = left.lock().unwrap().pop_front();
            async move { answer.ok_or_else(|| std::io::Error::other("an unexpected look-up")) }
        };
        let resolver = Resolver::new(policy(&["127.0.0.2/32"]), look_up);
        let webhook = webhook(&format!("http://hooks.example:{}/", allowed.port()));
        let endpoint =
            Endpoint::resolving(Arc::new(webhook), trust(), resolver, &Names::default()).unwrap();
        assert_eq!(endpoint.blocked(), None, "a name is not blocked before its look-up");
        let calls = || {
            let left = answers.lock().unwrap().len();
            let calls =
                [&forbidden_calls, &allowed_calls].map(|calls| calls.load(Ordering::SeqCst));
            (3 - left, calls)
        };
        let outcome = attempt(&endpoint).await;
        assert_eq!(outcome.verdict, Verdict::Delivered, "{outcome:?}");
        assert_eq!(calls(), (1, [0, 1]), "only the allowed address is called");
        is_blocked(&attempt(&endpoint).await, "127.0.0.1");
        assert_eq!(calls(), (2, [0, 1]), "no address is remembered, and none is called");
        let outcome = attempt(&endpoint).await;
        assert_eq!(outcome.verdict, Verdict::Delivered, "{outcome:?}");
        assert_eq!(calls(), (3, [0, 2]));
        let outcome = attempt(&endpoint).await;
        assert_eq!(outcome.verdict, Verdict::Retry, "a look-up may fail: {outcome:?}");
        assert_eq!(outcome.reason, Some(ErrorReason::Unreachable), "{outcome:?}");
    });
}

#[test]
fn a_name_that_has_a_forbidden_address_is_not_called() {
    let addresses = [
        "0.0.0.0",
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "192.168.0.1",
        "::",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "2001::7f00:1",
    ];
    run(async {
        let (receiver, connections) = receiver("127.0.0.1:0");
        for address in addresses {
            let address: IpAddr = address.parse().unwrap();
            let look_up = move |_| async move { Ok(vec![SocketAddr::new(address, 0)]) };
            let resolver = Resolver::new(AddressPolicy::default(), look_up);
            let webhook = webhook(&format!("http://hooks.example:{}/", receiver.port()));
            let endpoint =
                Endpoint::resolving(Arc::new(webhook), trust(), resolver, &Names::default())
                    .unwrap();
            is_blocked(&attempt(&endpoint).await, &address.to_canonical().to_string());
        }
        assert_eq!(connections.load(Ordering::SeqCst), 0);
    });
}

#[test]
fn localhost_is_looked_up_and_blocked() {
    run(async {
        let (receiver, connections) = receiver("127.0.0.1:0");
        let webhook = || webhook(&format!("http://localhost:{}/", receiver.port()));
        let endpoint =
            Endpoint::new(Arc::new(webhook()), trust(), &AddressPolicy::default()).unwrap();
        let outcome = attempt(&endpoint).await;
        assert_eq!(outcome.reason, Some(ErrorReason::BlockedAddress), "{outcome:?}");
        assert_eq!(connections.load(Ordering::SeqCst), 0);
        let endpoint =
            Endpoint::new(Arc::new(webhook()), trust(), &policy(&["127.0.0.0/8"])).unwrap();
        assert_eq!(attempt(&endpoint).await.verdict, Verdict::Delivered);
    });
}
