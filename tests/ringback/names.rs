//! Endpoints with names: look-ups that hang, and names that move.

use crate::harness::kafka::Record;
use crate::harness::names::Names;
use crate::harness::receiver::{Answer, now_ms};
use crate::harness::samples::{flow, with};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, avro, wait_until};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const HANGING: i64 = 300;
const FIRST_ACCOUNT: i64 = 1000;
const ADDED: i64 = 99;
const KIND: &str = "flow-complete";
/// Far shorter than a hanging look-up, and far longer than a webhook takes on a busy machine.
const SOON_MS: u128 = 2500;
const HERE: [u8; 4] = [127, 0, 0, 1];

/// Creates a stage whose default endpoint is `well.test`.
fn stage(name: &str, names: &Names, ttl: u32) -> Stage {
    let mut stage = Stage::new(name);
    stage.set("delivery.name_servers", names.servers());
    names.set("well.test", HERE, ttl);
    let url = format!("http://well.test:{}/hooks/phonon", stage.receiver.port());
    stage.set_webhook("url", url);
    stage
}

#[test]
fn names_whose_look_up_hangs_delay_no_other_endpoint() {
    let names = Names::start();
    let mut stage = stage("names-hanging", &names, 0);
    // Each webhook to this receiver needs a new connection, and so a look-up.
    stage.receiver.script(|_, _| Answer::status(200).header("connection", "close"));
    for account in FIRST_ACCOUNT..FIRST_ACCOUNT + HANGING {
        stage.add_account(account);
        let url = format!("http://w-{account}.hangs.test/");
        stage.add_webhook(&format!("hangs-{account}"), account, &url);
    }
    stage.set("delivery.connect_timeout_ms", 15_000);
    let mut daemon = stage.start();
    for round in 0..2 {
        let theirs = (FIRST_ACCOUNT..FIRST_ACCOUNT + HANGING).map(|account| {
            let uuid = format!("hangs-{round}-{account}");
            with(flow(&uuid, &[]), "accountID", account.into())
        });
        stage.send_flows(&theirs.collect::<Vec<_>>());
    }
    wait_until("look-ups that hang", PATIENCE, || {
        (names.asked_under(".hangs.test") >= 200).then_some(())
    });
    for n in 0..20 {
        let uuid = format!("well-{n}");
        let from = now_ms();
        stage.send_flows(&[flow(&uuid, &[])]);
        let requests = stage.receiver.wait(&uuid, PATIENCE, |requests| {
            requests.iter().any(|request| request.uuid() == uuid)
        });
        let ours = requests.iter().find(|request| request.uuid() == uuid);
        let took =
            ours.map(|request| request.at_ms.saturating_sub(from)).expect("the webhook came");
        assert!(took < SOON_MS, "{uuid} took {took} ms");
    }
    let late = || daemon.metric("ringback_look_ups_failed_total", &[("reason", "timeout")]);
    wait_until("look-ups time out", PATIENCE, || {
        late().is_some_and(|count| count >= 100.0).then_some(())
    });
    // The name of a webhook that a reload adds is looked up in spite of the hanging ones.
    names.set("added.test", HERE, 0);
    stage.add_account(ADDED);
    let url = format!("http://added.test:{}/added", stage.receiver.port());
    stage.add_webhook("added", ADDED, &url);
    stage.write_accounts(0);
    daemon.signal("HUP");
    wait_until("the reload", PATIENCE, || {
        let reloads = daemon.metric("ringback_config_reloads_total", &[("result", "applied")]);
        (reloads == Some(1.0)).then_some(())
    });
    stage.send_flows(&[with(flow("added", &[]), "accountID", ADDED.into())]);
    stage.receiver.wait("the added webhook", PATIENCE, |requests| {
        requests.iter().any(|request| request.path == "/added")
    });
    daemon.stop();
}

/// Records wait for their schema, but due deliveries leave.
#[test]
fn a_registry_whose_name_hangs_delays_no_delivery() {
    let names = Names::start();
    let mut stage = stage("names-registry", &names, 0);
    stage.set("schema_registry.url", "http://registry.hangs.test:8081");
    stage.set("delivery.retry.initial_interval_ms", 3000);
    stage.set("delivery.retry.interval_max_ms", 3000);
    stage.receiver.statuses(&[500, 200]);
    let daemon = stage.start();
    let retried = flow("retried", &[]);
    stage.send_flows(std::slice::from_ref(&retried));
    stage.receiver.wait_for(1, PATIENCE);
    let waits = flow("waits", &[]);
    let value = avro::confluent(7, &avro::schema_text(KIND), &waits);
    stage.kafka.produce(&[Record { value: Some(value), ..stage.record(KIND, &waits) }]);
    wait_until("the look-up of the registry", PATIENCE, || {
        (names.asked_under("registry.hangs.test") > 0).then_some(())
    });
    let requests = stage.receiver.wait_for(2, PATIENCE);
    assert!(requests.iter().all(|request| request.uuid() == "retried"));
    let says = daemon.wait_answer("/readyz", 503);
    assert!(says.contains("waiting for the schema registry"), "{says}");
    daemon.wait_answer("/livez", 200);
    drop(daemon);
}

/// Answers every request at 127.0.0.2, and counts the requests.
fn elsewhere(port: u16) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind(("127.0.0.2", port)).expect("the same port is free there");
    let count = Arc::new(AtomicUsize::new(0));
    let requests = Arc::clone(&count);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let _ = connection.read(&mut [0; 65_536]);
            requests.fetch_add(1, Ordering::SeqCst);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = connection.write_all(answer);
        }
    });
    count
}

#[test]
fn deliveries_follow_a_name_that_moves_under_a_steady_flow() {
    let names = Names::start();
    let mut stage = stage("names-moving", &names, 1);
    stage.set("delivery.connection_max_age_s", 1);
    let there = elsewhere(stage.receiver.port());
    let mut daemon = stage.start();
    let mut sent = 0;
    let mut send = |stage: &Stage| {
        sent += 1;
        stage.send_flows(&[flow(&format!("steady-{sent}"), &[])]);
        sent
    };
    for count in 1..=5 {
        send(&stage);
        stage.receiver.wait_for(count, PATIENCE);
    }
    assert_eq!(there.load(Ordering::SeqCst), 0);
    names.set("well.test", [127, 0, 0, 2], 1);
    wait_until("requests at the new address", PATIENCE, || {
        let here = stage.receiver.count();
        let sent = send(&stage);
        // The flow is steady: no connection becomes idle, and each webhook waits for the previous one.
        wait_until("the webhook", PATIENCE, || {
            let came = stage.receiver.count() + there.load(Ordering::SeqCst);
            (came >= sent).then_some(())
        });
        (stage.receiver.count() == here && there.load(Ordering::SeqCst) > 0).then_some(())
    });
    daemon.stop();
}
