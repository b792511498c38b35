//! Tests of the answers that name servers may give.

use super::server::{Says, Server};
use super::{
    Asker, Duration, HERE, Instant, JoinSet, Names, THERE, first, is_asked, run, wait_until,
};
use crate::delivery::tests::shortages::by_token;
use crate::delivery::tests::{attempt, is_blocked, policy, receiver, trust, webhook};
use crate::delivery::{AddressPolicy, Endpoint, Proxy, Webhook};
use crate::domain::Verdict;
use std::net::{IpAddr, Ipv6Addr, TcpListener, UdpSocket};
use std::sync::Arc;

const HERE_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

async fn all(names: &Names, name: &str) -> Vec<String> {
    let found = names.look_up(name.to_owned()).await.unwrap();
    let mut found: Vec<_> = found.iter().map(|address| address.ip().to_string()).collect();
    found.sort();
    found
}

#[test]
fn an_address_may_be_of_either_kind_behind_aliases_or_too_large_for_a_datagram() {
    run(async {
        let server = Server::start();
        server.says("v6.test", Says::Addresses(vec![HERE_V6], 60));
        server.says("both.test", Says::Addresses(vec![HERE.into(), HERE_V6], 60));
        let aliases = &["a.test", "b.example", "c.d.example"];
        server.says("alias.test", Says::Aliases(aliases, HERE.into()));
        server.says("large.test", Says::TooLarge(THERE.into()));
        let names = Names::new(&[server.address]);
        assert_eq!(all(&names, "v6.test").await, ["::1"]);
        assert_eq!(all(&names, "both.test").await, ["127.0.0.1", "::1"]);
        assert_eq!(all(&names, "alias.test").await, ["127.0.0.1"]);
        assert_eq!(all(&names, "large.test").await, ["127.0.0.2"]);
    });
}

/// An error of one name server is not final if there is another one.
#[test]
fn another_name_server_is_asked_when_the_first_is_silent_gone_or_fails() {
    run(async {
        let server = Server::start();
        server.set("well.test", HERE, 0);
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let failing = Server::start();
        failing.says("well.test", Says::Failed);
        for first_one in [silent.local_addr().unwrap(), gone, failing.address] {
            let names = Names::new(&[first_one, server.address]);
            for _ in 0..3 {
                let started = Instant::now();
                assert_eq!(first(&names, "well.test").await.as_deref(), Some("127.0.0.1"));
                assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
            }
        }
    });
}

#[test]
fn invalid_and_missing_answers_are_errors_with_a_reason() {
    run(async {
        let server = Server::start();
        server.says("failed.test", Says::Failed);
        server.says("garbage.test", Says::Garbage);
        server.says("empty.test", Says::Addresses(Vec::new(), 60));
        let names = Names::new(&[server.address]);
        for (name, said) in [
            ("failed.test", "the look-up failed: "),
            ("none.test", "the name has no address"),
            ("empty.test", "the name has no address"),
            ("hangs.test", "no name server answered the look-up in time"),
        ] {
            let error = names.look_up(name.to_owned()).await.unwrap_err().to_string();
            assert!(error.starts_with(said), "{name}: {error}");
        }
        let garbage = names.look_up("garbage.test".to_owned()).await;
        assert!(garbage.is_err(), "{garbage:?}");
    });
}

/// The policy checks the name server's answer, and the client connects only to addresses of that answer.
#[test]
fn an_endpoint_whose_name_has_forbidden_addresses_only_is_not_called() {
    run(async {
        let server = Server::start();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        server.says("inside.test", Says::Addresses(vec![HERE.into(), THERE.into()], 0));
        let url = format!("http://inside.test:{port}/");
        let names = Names::new(&[server.address]);
        let endpoint = |addresses: AddressPolicy| {
            Endpoint::keeping(Arc::new(webhook(&url)), trust(), &addresses, &names, 8).unwrap()
        };
        is_blocked(&attempt(&endpoint(AddressPolicy::default())).await, "127.0.0.");
        // The name had an allowed address at an earlier look-up.
        server.says("inside.test", Says::Addresses(vec![[192, 0, 2, 1].into()], 0));
        let endpoint = endpoint(policy(&["192.0.2.0/24"]));
        assert_eq!(first(&names, "inside.test").await.as_deref(), Some("192.0.2.1"));
        server.set("inside.test", HERE, 0);
        is_blocked(&attempt(&endpoint).await, "127.0.0.1");
        assert!(listener.accept().is_err(), "there is no connection");
    });
}

/// The names of a proxy and of a token server are resolved too.
#[test]
fn a_proxy_or_token_server_whose_name_hangs_does_not_delay_others() {
    run(async {
        let server = Server::start();
        server.set("well.test", HERE, 0);
        let (well, _) = receiver("127.0.0.1:0");
        let names = Names::build(Asker::new(&[server.address]), 4, Arc::new(|_| {}));
        let opened = policy(&["127.0.0.0/8"]);
        let endpoint = |webhook: Webhook| {
            Endpoint::keeping(Arc::new(webhook), trust(), &opened, &names, 0).unwrap()
        };
        let mut hanging = JoinSet::new();
        for number in 0..10 {
            let proxy = Proxy::parse(&format!("http://{number}.p.hangs.test:3128")).unwrap();
            let token_url = format!("http://{number}.t.hangs.test/");
            for webhook in [
                Webhook { proxy: Some(proxy), ..webhook("http://well.test/") },
                by_token("http://well.test/", &token_url),
            ] {
                let endpoint = endpoint(webhook);
                hanging.spawn(async move { attempt(&endpoint).await.verdict });
            }
        }
        for name in ["9.p.hangs.test", "9.t.hangs.test"] {
            wait_until("their questions", || is_asked(&names, name)).await;
        }
        let ours = endpoint(webhook(&format!("http://well.test:{}/", well.port())));
        for _ in 0..5 {
            let started = Instant::now();
            assert_eq!(attempt(&ours).await.verdict, Verdict::Delivered);
            assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        }
        assert!(hanging.join_all().await.iter().all(|verdict| *verdict == Verdict::Retry));
    });
}
