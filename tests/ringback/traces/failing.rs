//! Collectors that fail: deliveries go on, and spans are dropped and counted.

use super::{AGAIN, DROPPED, EXPORTED, FAILING, parent_of, traced};
use crate::harness::child::free_port;
use crate::harness::collector::accepted;
use crate::harness::daemon::Daemon;
use crate::harness::receiver::Answer;
use crate::harness::samples::{flow, report};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, wait_until};
use std::time::Duration;

/// Delivers many webhooks while the collector fails, and returns the daemon. The queue has room for 10 spans.
fn deliver_without_collector(stage: &mut Stage) -> Daemon {
    const FLOWS: usize = 300;
    stage.set("traces.queue_max", 10);
    stage.set("traces.timeout_ms", 300);
    let daemon = stage.start();
    let flows: Vec<_> = (0..FLOWS).map(|n| flow(&format!("down-{n}"), &["s-1"])).collect();
    let reports: Vec<_> =
        (0..FLOWS).map(|n| report(&format!("down-{n}"), "s-1", "DELIVERED")).collect();
    stage.send_flows(&flows);
    stage.send_reports(&reports);
    let requests = stage.receiver.wait_for(2 * FLOWS, PATIENCE);
    assert_eq!(requests.len(), 2 * FLOWS, "no webhook is repeated");
    stage.wait_events("delivered", 2 * FLOWS);
    // Each webhook has four spans. The queue and one batch are all that may wait.
    wait_until("the spans that the queue had no room for are counted", PATIENCE, || {
        let dropped = daemon.metric(DROPPED, &[]).unwrap_or_default();
        (dropped >= (2 * FLOWS * 4 - 10 - 512) as f64).then_some(())
    });
    daemon
}

fn lines(daemon: &Daemon, text: &str) -> usize {
    daemon.logged().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn a_collector_that_is_down_costs_spans_only() {
    let mut stage = Stage::new("traces-down");
    stage.set("traces.endpoint", format!("http://127.0.0.1:{}/v1/traces", free_port()));
    let mut daemon = deliver_without_collector(&mut stage);
    daemon.wait_logged(FAILING, 0);
    assert_eq!(daemon.metric(EXPORTED, &[]), Some(0.0));
    assert_eq!(lines(&daemon, FAILING), 1);
    // The last spans get 2 s.
    assert!(daemon.stop_within(PATIENCE) < Duration::from_secs(10));
    stage.verify();
}

#[test]
fn a_collector_that_never_answers_costs_spans_only() {
    let (mut stage, collector) = traced("traces-hanging");
    collector.answer(Answer::never);
    let mut daemon = deliver_without_collector(&mut stage);
    daemon.wait_logged(FAILING, 0);
    assert_eq!(daemon.metric(EXPORTED, &[]), Some(0.0));
    assert_eq!(lines(&daemon, FAILING), 1);
    assert!(daemon.stop_within(PATIENCE) < Duration::from_secs(10));
    stage.verify();
}

#[test]
fn a_collector_that_refuses_costs_spans_and_one_line_until_it_accepts_again() {
    for (name, answer) in [
        ("500", (|| Answer::status(500)) as fn() -> Answer),
        ("429", || Answer::status(429).header("retry-after", "1")),
        ("503", || Answer::status(503)),
        ("400", || Answer::status(400).body("\u{0}garbage")),
    ] {
        let (mut stage, collector) = traced(&format!("traces-{name}"));
        collector.answer(answer);
        let mut daemon = deliver_without_collector(&mut stage);
        let have_failed = |count: usize| {
            wait_until("requests have failed", PATIENCE, || {
                (collector.requests().len() >= count).then_some(())
            });
        };
        have_failed(1);
        // All spans so far may have been in one request, which is not always repeated.
        stage.send_flows(&[flow("more", &[])]);
        have_failed(2);
        assert_eq!((lines(&daemon, FAILING), lines(&daemon, AGAIN)), (1, 0), "{name}");
        // OTLP allows to repeat a request after some statuses only.
        let requests = collector.requests();
        assert_eq!(requests[0].body == requests[1].body, ["429", "503"].contains(&name), "{name}");
        assert_eq!(daemon.metric(EXPORTED, &[]), Some(0.0));
        collector.answer(accepted);
        stage.send_flows(&[flow("again", &[])]);
        daemon.wait_logged(AGAIN, 0);
        assert_eq!((lines(&daemon, FAILING), lines(&daemon, AGAIN)), (1, 1), "{name}");
        wait_until("accepted spans are counted", PATIENCE, || {
            daemon.metric(EXPORTED, &[]).filter(|count| *count > 0.0)
        });
        daemon.stop();
    }
}

#[test]
fn spans_that_the_collector_rejects_count_as_dropped() {
    let (stage, collector) = traced("traces-partial");
    collector.answer(|| Answer::status(200).body("{\"partialSuccess\":{\"rejectedSpans\":\"1\"}}"));
    let mut daemon = stage.start();
    stage.send_flows(&[flow("partial", &[])]);
    wait_until("spans are counted", PATIENCE, || {
        let [exported, dropped] = [EXPORTED, DROPPED].map(|name| daemon.metric(name, &[]));
        let (exported, dropped) = (exported?, dropped?);
        let requests = collector.requests().len();
        (exported + dropped == 4.0 && dropped == requests as f64).then_some(())
    });
    daemon.stop();
}

/// The collector is slow, so that spans wait when the daemon gets SIGTERM.
#[test]
fn the_last_spans_are_exported_at_a_shutdown() {
    let (stage, collector) = traced("traces-last");
    collector.answer(|| accepted().after(Duration::from_millis(1500)));
    let mut daemon = stage.start();
    stage.send_flows(&[flow("first", &[])]);
    collector.wait("the first spans", |spans| !spans.is_empty());
    stage.send_flows(&[flow("last", &[])]);
    let requests = stage.receiver.wait_for(2, PATIENCE);
    daemon.stop();
    let spans = collector.spans();
    for request in requests {
        let trace = parent_of(&request)[0].clone();
        assert_eq!(spans.iter().filter(|span| span.trace == trace).count(), 4, "{spans:#?}");
    }
}
