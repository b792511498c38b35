//! Tests of shortages that the system really causes. Each test runs a second time in a separate process.

use super::{attempt, endpoint, policy, receiver, run, trust, webhook};
use crate::delivery::shortage::Shortage;
use crate::delivery::{Auth, ClientCredentials, Endpoint, Message, Proxy, Secret, SentIn, Webhook};
use crate::domain::{DeliveryId, ErrorReason, Outcome, Verdict};
use crate::system::spare_file;
use bytes::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Set in the separate process.
const INSIDE: &str = "RINGBACK_TEST_INSIDE";

/// Runs the same test in a separate process started by `launcher`. Returns `input` in that process, and `None` in the
/// first one.
fn inside(test: &str, launcher: &[&str], input: &str) -> Option<String> {
    if let Ok(input) = std::env::var(INSIDE) {
        return Some(input);
    }
    let executable = std::env::current_exe().unwrap();
    let name = format!("delivery::tests::shortages::{test}");
    let mut command = match launcher {
        [] => Command::new(&executable),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&executable);
            command
        }
    };
    command.args(["--exact", &name, "--nocapture", "--test-threads=1"]).env(INSIDE, input);
    let output = command.output().unwrap();
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success() && said[0].contains("1 passed"), "{}{}", said[0], said[1]);
    None
}

async fn made(endpoint: &Endpoint) -> Result<Outcome, Shortage> {
    let message = Message { body: Bytes::from_static(b"{}"), rendered: None, trace: None };
    endpoint.attempt(DeliveryId::from_bytes([7; 16]), 1, message, 1).await
}

pub(in crate::delivery) fn by_token(url: &str, token_url: &str) -> Webhook {
    let credentials = ClientCredentials {
        token_url: token_url.parse().unwrap(),
        client_id: "ringback".to_owned(),
        client_secret: Secret::new("hush".to_owned()),
        scope: None,
        audience: None,
        sent_in: SentIn::Header,
    };
    Webhook { auth: Auth::OAuth2(Box::new(credentials)), ..webhook(url) }
}

#[test]
fn every_way_to_an_endpoint_reports_a_shortage_of_files() {
    let name = "every_way_to_an_endpoint_reports_a_shortage_of_files";
    // The receiver runs in the first process, which has enough files.
    let outside = std::env::var_os(INSIDE).is_none().then(|| receiver("127.0.0.1:0"));
    let port = outside.as_ref().map_or(0, |(address, _)| address.port());
    let Some(port) = inside(name, &[], &port.to_string()) else {
        let (_, connections) = outside.unwrap();
        assert_eq!(connections.load(Ordering::SeqCst), 6, "nothing was sent during the shortage");
        return;
    };
    run(async {
        let [url, named] = ["127.0.0.1", "localhost"].map(|host| format!("http://{host}:{port}/"));
        let through = |proxy: &str, url: &str| Webhook {
            proxy: Some(Proxy::parse(proxy).unwrap()),
            ..webhook(url)
        };
        let endpoints = [
            endpoint(webhook(&url)),
            endpoint(webhook(&named)),
            endpoint(webhook("http://no-such-name.invalid/")),
            endpoint(by_token(&url, &url)),
            endpoint(by_token(&url, &named)),
            endpoint(through(&url, "http://127.0.0.2/")),
            // The address of this name can't be checked, so nothing is sent to the proxy.
            endpoint(through(&url, "http://hooks.invalid/")),
            endpoint(through(&named, "http://127.0.0.2/")),
        ];
        let before = getrlimit(Resource::Nofile);
        let lowest = spare_file().unwrap().as_raw_fd();
        let none_left = Some(u64::try_from(lowest).unwrap());
        setrlimit(Resource::Nofile, Rlimit { current: none_left, ..before }).unwrap();
        for endpoint in &endpoints {
            let made = made(endpoint).await;
            let url = &endpoint.webhook().url;
            assert_eq!(made.unwrap_err(), Shortage::OpenFiles, "{url}");
        }
        setrlimit(Resource::Nofile, before).unwrap();
        for at in [0, 1, 5, 6, 7] {
            assert_eq!(attempt(&endpoints[at]).await.verdict, Verdict::Delivered, "{at}");
        }
        // The shortage does not count against the token server: it is asked again at once.
        let outcome = attempt(&endpoints[3]).await;
        assert_eq!(outcome.reason, Some(ErrorReason::AuthenticationFailure), "{outcome:?}");
        let outcome = attempt(&endpoints[2]).await;
        assert_eq!(outcome.reason, Some(ErrorReason::Unreachable), "{outcome:?}");
    });
}

/// The connection to the proxy exists and needs no file. But the name's addresses can't be checked against the policy.
#[test]
fn names_that_could_not_be_checked_are_never_sent_to_a_proxy() {
    let name = "names_that_could_not_be_checked_are_never_sent_to_a_proxy";
    if inside(name, &[], "").is_none() {
        return;
    }
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", proxy.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        let (mut connection, _) = proxy.accept().unwrap();
        while connection.read(&mut [0; 4096]).is_ok_and(|bytes| bytes > 0) {
            count.fetch_add(1, Ordering::SeqCst);
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    });
    run(async {
        let proxy = Some(Proxy::parse(&url).unwrap());
        let endpoint = endpoint(Webhook { proxy, ..webhook("http://hooks.invalid/") });
        assert_eq!(attempt(&endpoint).await.verdict, Verdict::Delivered);
        let before = getrlimit(Resource::Nofile);
        let lowest = u64::try_from(spare_file().unwrap().as_raw_fd()).unwrap();
        setrlimit(Resource::Nofile, Rlimit { current: Some(lowest), ..before }).unwrap();
        let made = made(&endpoint).await;
        setrlimit(Resource::Nofile, before).unwrap();
        assert_eq!(made.unwrap_err(), Shortage::OpenFiles);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert_eq!(attempt(&endpoint).await.verdict, Verdict::Delivered);
        assert_eq!(asked.load(Ordering::SeqCst), 2, "over the same connection");
    });
}

/// Sets up a network namespace in which two connections use up all ports and IPv6 is off. Needs root.
const NETWORK: &str = "ip link set lo up && echo '40000 40001' > /proc/sys/net/ipv4/ip_local_port_range \
    && echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 && exec \"$@\"";

fn has_networks() -> bool {
    let tried = Command::new("unshare").args(["--net", "sh", "-c", NETWORK, "sh", "true"]).output();
    tried.is_ok_and(|output| output.status.success())
}

#[test]
fn a_shortage_of_ports_differs_from_an_address_without_a_route() {
    let is_outside = std::env::var_os(INSIDE).is_none();
    if is_outside && !has_networks() {
        println!("skipped: this system can't create a network namespace");
        return;
    }
    let launcher = ["unshare", "--net", "sh", "-c", NETWORK, "sh"];
    let name = "a_shortage_of_ports_differs_from_an_address_without_a_route";
    if inside(name, &launcher, "").is_none() {
        return;
    }
    run(async {
        let (full, connections) = receiver("127.0.0.1:9000");
        let busy = TcpListener::bind("127.0.0.1:9001").unwrap();
        let busy_at = busy.local_addr().unwrap();
        let held: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(busy_at).unwrap()).collect();
        let at = |address: SocketAddr| format!("http://{address}/");
        assert_eq!(made(&endpoint(webhook(&at(busy_at)))).await, Err(Shortage::Ports));
        let named = webhook("http://localhost:9001/");
        let own = policy(&["127.0.0.0/8"]);
        let named = Endpoint::new(Arc::new(named), trust(), &own).unwrap();
        assert_eq!(made(&named).await, Err(Shortage::Ports));
        // Ports are counted for each destination address.
        assert_eq!(attempt(&endpoint(webhook(&at(full)))).await.verdict, Verdict::Delivered);
        assert_eq!(connections.load(Ordering::SeqCst), 1);
        let unreachable = attempt(&endpoint(webhook("http://[::1]:9001/"))).await;
        assert_eq!(unreachable.reason, Some(ErrorReason::Unreachable), "{unreachable:?}");
        let said = unreachable.error.as_deref().unwrap_or_default();
        assert!(said.contains("no address of this host can reach"), "{said}");
        let refused = attempt(&endpoint(webhook("http://127.0.0.1:9002/"))).await;
        assert_eq!(refused.reason, Some(ErrorReason::Unreachable), "{refused:?}");
        drop(held);
    });
}
