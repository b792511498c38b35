//! Tests of proxies: what they receive, and what they never receive.

use super::certificates::Authority;
use super::connections::answer;
use super::server::{Server, raw, request, says, tls};
use super::{attempt, is_blocked, policy, run, trust, webhook};
use crate::delivery::names::Names;
use crate::delivery::resolver::Resolver;
use crate::delivery::{Endpoint, Proxy, Tls, Webhook};
use crate::domain::ErrorReason::{Refused, Unreachable};
use crate::domain::Verdict::{Delivered, GiveUp, Retry};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

/// Creates a client that calls `url` through `proxy`. The policy does not allow the proxy's address. Every name
/// resolves to `addresses`, or to none.
fn proxied(url: &str, proxy: &str, addresses: &[&str]) -> Endpoint {
    let webhook = Webhook { proxy: Some(Proxy::parse(proxy).unwrap()), ..webhook(url) };
    resolving(webhook, addresses)
}

fn resolving(webhook: Webhook, addresses: &[&str]) -> Endpoint {
    let addresses: Vec<SocketAddr> =
        addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
    let look_up = move |_| {
        let addresses = addresses.clone();
        async move {
            if addresses.is_empty() {
                return Err(std::io::Error::other("the name is unknown"));
            }
            Ok(addresses)
        }
    };
    let resolver = Resolver::new(policy(&[]), look_up);
    Endpoint::resolving(Arc::new(webhook), trust(), resolver, &Names::default()).unwrap()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Starts a proxy that answers every request with `answer`, and records the requests.
fn noting(answer: &'static [u8]) -> (Server, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    let server = raw(move |mut connection| {
        while let Some(request) = request(&mut connection) {
            noted.lock().unwrap().push(request);
            connection.write_all(answer).unwrap();
        }
    });
    (server, asked)
}

#[test]
fn a_proxy_gets_the_request_and_its_own_credentials() {
    let (proxy, asked) = noting(OK);
    let url = format!("http://user:hu%40sh@{}", proxy.address);
    for addresses in [&["1.1.1.1"][..], &[]] {
        run(async {
            let endpoint = proxied("http://hooks.example:81/a?b", &url, addresses);
            let outcome = attempt(&endpoint).await;
            assert_eq!((outcome.verdict, outcome.status), (Delivered, Some(200)), "{outcome:?}");
        });
        let request = asked.lock().unwrap().pop().unwrap();
        assert!(request.starts_with("POST http://hooks.example:81/a?b HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("host: hooks.example:81\r\n"), "{request}");
        // user:hu@sh
        let credentials = "proxy-authorization: Basic dXNlcjpodUBzaA==\r\n";
        assert!(request.contains(credentials), "{request}");
        assert!(request.ends_with("\r\n\r\n{}"), "{request}");
    }
}

/// The proxy sees neither the request nor its credentials, and HTTP/2 passes through the tunnel.
#[test]
fn over_tls_a_proxy_is_a_tunnel() {
    run(async {
        let authority = Authority::new();
        let identity = authority.identity("hooks.example").speaking(&["h2"]);
        let server = tls(&identity, |connection| answer(connection, 0, Arc::default())).await;
        let (target, asked) = (server.address, Arc::new(Mutex::new(Vec::new())));
        let noted = asked.clone();
        let proxy = raw(move |mut connection| {
            noted.lock().unwrap().extend(request(&mut connection));
            connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let onward = TcpStream::connect(target).unwrap();
            let (mut from, mut to) = (connection.try_clone().unwrap(), onward.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let _ = std::io::copy(&mut &onward, &mut connection);
        });
        let proxy_url = format!("http://u:p@{}", proxy.address);
        let endpoint = resolving(
            Webhook {
                proxy: Some(Proxy::parse(&proxy_url).unwrap()),
                tls: Tls { ca_pem: authority.pem(), client_pem: None, ..Tls::default() },
                ..webhook("https://hooks.example/a")
            },
            &["1.1.1.1"],
        );
        for _ in 0..3 {
            let outcome = attempt(&endpoint).await;
            assert_eq!((outcome.verdict, outcome.status), (Delivered, Some(200)), "{outcome:?}");
        }
        assert_eq!((proxy.connections(), server.connections()), (1, 1));
        let asked = asked.lock().unwrap().concat();
        assert!(asked.starts_with("CONNECT hooks.example:443 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("Basic dTpw\r\n") && !asked.contains("webhook-id"), "{asked}");
    });
}

#[test]
fn requests_to_forbidden_addresses_are_never_sent_to_a_proxy() {
    let (proxy, asked) = noting(OK);
    run(async {
        for (url, addresses, forbidden) in [
            ("http://127.0.0.1/", &["1.1.1.1"][..], "127.0.0.1"),
            ("https://[::ffff:10.0.0.1]/", &["1.1.1.1"], "10.0.0.1"),
            ("https://2852039166/", &["1.1.1.1"], "169.254.169.254"),
            ("http://hooks.example/", &["10.0.0.1"], "10.0.0.1"),
            ("https://hooks.example/", &["fd00::1"], "fd00::1"),
            // It is unknown which of the addresses the proxy would use.
            ("https://hooks.example/", &["1.1.1.1", "192.168.0.1"], "192.168.0.1"),
        ] {
            let endpoint = proxied(url, &proxy.url(), addresses);
            is_blocked(&attempt(&endpoint).await, forbidden);
        }
    });
    assert_eq!((proxy.connections(), asked.lock().unwrap().len()), (0, 0));
}

#[test]
fn a_redirect_is_not_followed_through_a_proxy_either() {
    let (proxy, asked) =
        noting(b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n");
    run(async {
        let endpoint = proxied("http://hooks.example/", &proxy.url(), &["1.1.1.1"]);
        let outcome = attempt(&endpoint).await;
        assert_eq!((outcome.verdict, outcome.reason), (GiveUp, Some(Refused)), "{outcome:?}");
    });
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn a_failing_proxy_never_ends_a_delivery() {
    let refusing = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    run(async {
        for url in ["http://hooks.example/", "https://hooks.example/"] {
            for proxy in [says(refusing), says(""), Server::gone()] {
                let outcome = attempt(&proxied(url, &proxy.url(), &["1.1.1.1"])).await;
                let then = (outcome.verdict, outcome.reason);
                assert_eq!(then, (Retry, Some(Unreachable)), "{outcome:?}");
            }
        }
        let forbidding = says("HTTP/1.1 403 Forbidden\r\n\r\n");
        let endpoint = proxied("https://hooks.example/", &forbidding.url(), &["1.1.1.1"]);
        let outcome = attempt(&endpoint).await;
        assert_eq!((outcome.verdict, outcome.reason), (Retry, Some(Unreachable)), "{outcome:?}");
    });
}
