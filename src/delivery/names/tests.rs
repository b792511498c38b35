//! Tests of look-ups with a real name server.

mod answers;
mod files;
mod server;

use super::ask::Asker;
use super::{FailedLookUp, KEPT_MAX, MISSING_KEPT_MAX, Names};
use server::Server;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);
const HERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

async fn wait_until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "{what}: not before the deadline");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Returns the first address of `name`, or `None` if the look-up failed.
async fn first(names: &Names, name: &str) -> Option<String> {
    let found = timeout(PATIENCE, names.look_up(name.to_owned())).await.expect("the look-up ends");
    Some(found.ok()?.first()?.ip().to_string())
}

fn is_asked(names: &Names, name: &str) -> bool {
    names.0.lock().get(name).is_some_and(|entry| entry.asked.is_some())
}

#[test]
fn localhost_has_addresses_and_an_invalid_name_has_none() {
    run(async {
        let names = Names::default();
        let found = names.look_up("localhost".to_owned()).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
        assert!(!found.is_empty());
        assert!(names.look_up("no such name".to_owned()).await.is_err());
    });
}

#[test]
fn all_attempts_that_wait_for_a_name_share_one_question() {
    run(async {
        let server = Server::start();
        server.set("slow.test", HERE, 0);
        let names = Names::new(&[server.address]);
        let mut waiting = JoinSet::new();
        for _ in 0..50 {
            let names = names.clone();
            waiting.spawn(async move { first(&names, "slow.test").await });
        }
        for found in waiting.join_all().await {
            assert_eq!(found.as_deref(), Some("127.0.0.1"));
        }
        assert_eq!(server.asked("slow.test"), 1);
    });
}

#[test]
fn an_address_is_kept_for_its_ttl_and_for_a_minute_at_most() {
    run(async {
        let server = Server::start();
        for (name, ttl) in [("moves.test", 1), ("never.test", 0), ("day.test", 86_400)] {
            server.set(name, HERE, ttl);
        }
        let names = Names::new(&[server.address]);
        for name in ["moves.test", "never.test", "day.test"] {
            for _ in 0..3 {
                assert_eq!(first(&names, name).await.as_deref(), Some("127.0.0.1"), "{name}");
            }
        }
        assert_eq!(server.asked("never.test"), 3);
        assert_eq!(server.asked("day.test"), 1);
        server.set("moves.test", THERE, 1);
        let deadline = Instant::now() + PATIENCE;
        while first(&names, "moves.test").await.as_deref() != Some("127.0.0.2") {
            assert!(Instant::now() < deadline, "the new address is found");
            sleep(Duration::from_millis(20)).await;
        }
        assert!(server.asked("moves.test") <= 3, "asked {} times", server.asked("moves.test"));
        let until = names.0.lock()["day.test"].known.as_ref().map(|(_, until)| *until).unwrap();
        let left = until.duration_since(Instant::now());
        assert!(left <= KEPT_MAX && left > KEPT_MAX / 2, "{left:?}");
    });
}

#[test]
fn a_missing_name_is_soon_asked_for_again() {
    run(async {
        let server = Server::start();
        let names = Names::new(&[server.address]);
        assert_eq!(first(&names, "later.test").await, None);
        server.set("later.test", HERE, 60);
        let (found, until) = names.0.lock()["later.test"].known.clone().unwrap();
        assert!(found.is_err(), "{found:?}");
        let left = until.duration_since(Instant::now());
        assert!(left <= MISSING_KEPT_MAX && left > MISSING_KEPT_MAX / 2, "{left:?}");
        let deadline = Instant::now() + PATIENCE;
        while first(&names, "later.test").await.is_none() {
            assert!(Instant::now() < deadline, "the new name is found");
            sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_look_up_ends_with_the_last_attempt_that_waits_for_it() {
    run(async {
        let server = Server::start();
        let names = Names::new(&[server.address]);
        let mut waiting = JoinSet::new();
        for _ in 0..2 {
            let names = names.clone();
            waiting.spawn(async move { names.look_up("a.hangs.test".to_owned()).await });
        }
        wait_until("the question", || server.asked("a.hangs.test") > 0).await;
        assert!(is_asked(&names, "a.hangs.test"));
        waiting.abort_all();
        while waiting.join_next().await.is_some() {}
        wait_until("the end of the question", || !is_asked(&names, "a.hangs.test")).await;
        assert_eq!(server.asked("a.hangs.test"), 1);
    });
}

#[test]
fn names_that_hang_do_not_delay_others() {
    run(async {
        let server = Server::start();
        server.set("well.test", HERE, 0);
        let names = Names::build(Asker::new(&[server.address]), 4, Arc::new(|_| {}));
        for round in 0..2 {
            let mut hanging = JoinSet::new();
            for number in 0..8 {
                let names = names.clone();
                hanging.spawn(async move { names.look_up(format!("{number}.hangs.test")).await });
            }
            wait_until("their questions", || is_asked(&names, "7.hangs.test")).await;
            let started = Instant::now();
            assert_eq!(first(&names, "well.test").await.as_deref(), Some("127.0.0.1"));
            let took = started.elapsed();
            // In the first round the hanging names are not yet known as slow.
            let soon = [Duration::from_secs(2), Duration::from_millis(200)][round];
            assert!(took < soon, "round {round}: {took:?}");
            if round == 0 {
                assert!(hanging.join_all().await.iter().all(Result::is_err));
            }
        }
    });
}

#[test]
fn a_question_that_gives_its_place_away_is_still_answered() {
    run(async {
        let server = Server::start();
        for number in 0..6 {
            server.set(&format!("{number}.late.test"), HERE, 60);
        }
        let names = Names::build(Asker::new(&[server.address]), 2, Arc::new(|_| {}));
        let mut waiting = JoinSet::new();
        for number in 0..6 {
            let names = names.clone();
            waiting.spawn(async move { first(&names, &format!("{number}.late.test")).await });
        }
        for found in waiting.join_all().await {
            assert_eq!(found.as_deref(), Some("127.0.0.1"));
        }
        // A look-up that gave its place away was asked again.
        assert!((0..5).any(|number| server.asked(&format!("{number}.late.test")) > 1));
    });
}

#[test]
fn a_failed_look_up_is_counted_once_for_all_waiting_attempts() {
    run(async {
        let server = Server::start();
        server.says("refused.test", server::Says::Failed);
        let failed = Arc::new(Mutex::new(Vec::new()));
        let reasons = failed.clone();
        let watch = Arc::new(move |why| reasons.lock().unwrap().push(why));
        let names = Names::watched(&[server.address], watch);
        for (name, why) in [
            ("none.test", FailedLookUp::Missing),
            ("refused.test", FailedLookUp::Refused),
            ("hangs.test", FailedLookUp::Late),
        ] {
            let mut waiting = JoinSet::new();
            for _ in 0..5 {
                let names = names.clone();
                waiting.spawn(async move {
                    timeout(Duration::from_millis(500), names.look_up(name.to_owned())).await
                });
            }
            assert!(waiting.join_all().await.iter().all(|found| !matches!(found, Ok(Ok(_)))));
            wait_until("the count", || !failed.lock().unwrap().is_empty()).await;
            assert_eq!(std::mem::take(&mut *failed.lock().unwrap()), [why], "{name}");
        }
        server.set("well.test", HERE, 60);
        assert_eq!(first(&names, "well.test").await.as_deref(), Some("127.0.0.1"));
        assert_eq!(*failed.lock().unwrap(), []);
    });
}
