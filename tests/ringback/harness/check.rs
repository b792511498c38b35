//! `check(given, when, then)`: plays a scene on a stage and compares everything that left the daemon with the
//! expectation.

use super::PATIENCE;
use super::daemon::Daemon;
use super::kafka::{Message, Tail};
use super::receiver::Received;
use super::stage::Stage;
use serde_json::Value;

/// The types of events that `check` compares: those that report an end. Other events depend on timing, or follow from
/// these.
const ENDS: [&str; 4] = ["delivered", "record_ignored", "report_timed_out", "correlation_ended"];

/// A stage with a running daemon.
pub(crate) struct Scene<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) daemon: Daemon,
    events: Tail,
}

impl<'a> Scene<'a> {
    /// Starts the daemon and waits until it is ready.
    pub(crate) fn open(stage: &'a Stage) -> Self {
        Self { stage, daemon: stage.start(), events: stage.events() }
    }

    /// Waits until `count` events with this label are committed, and returns them.
    pub(crate) fn wait_for(&mut self, wanted: &str, count: usize) -> Vec<Value> {
        let has = |messages: &[Message]| {
            messages.iter().filter(|event| fits(&event.json(), wanted)).count() >= count
        };
        let seen = |tail: &Tail| tail.seen().iter().map(|e| label(&e.json())).collect::<Vec<_>>();
        let what = format!("{count} × {wanted}");
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.events.wait(&what, PATIENCE, has);
        }));
        assert!(failed.is_ok(), "{what} did not come; events: {:?}", seen(&self.events));
        let events = self.events.seen().iter().map(Message::json);
        events.filter(|event| fits(event, wanted)).collect()
    }

    /// Produces flow complete records.
    pub(crate) fn flows(&self, flows: &[Value]) {
        self.stage.send_flows(flows);
    }

    /// Produces delivery reports.
    pub(crate) fn reports(&self, reports: &[Value]) {
        self.stage.send_reports(reports);
    }
}

/// The expectation: everything that must leave, in any order.
#[derive(Default)]
pub(crate) struct Then {
    webhooks: Vec<Value>,
    ends: Vec<String>,
    dead_letters: Vec<String>,
}

impl Then {
    /// Expects a request with this body and its `delivered` event.
    pub(crate) fn delivered(mut self, body: Value) -> Self {
        self.ends.push("delivered".into());
        self.attempted(body)
    }

    /// Expects a request with this body that does not complete its delivery.
    pub(crate) fn attempted(mut self, body: Value) -> Self {
        self.webhooks.push(body);
        self
    }

    /// Expects an event of [`ENDS`], as `type` or `type:reason`.
    pub(crate) fn event(mut self, label: &str) -> Self {
        self.ends.push(label.into());
        self
    }

    /// Expects a dead letter with this reason.
    pub(crate) fn dead_letter(mut self, reason: &str) -> Self {
        self.dead_letters.push(reason.into());
        self
    }
}

/// Starts a daemon on the stage, plays `when`, waits for `then` and stops the daemon. Then compares everything, so that
/// surplus requests and events are found too.
pub(crate) fn check(given: &Stage, when: impl FnOnce(&mut Scene<'_>), then: Then) -> Outcome {
    let mut scene = Scene::open(given);
    when(&mut scene);
    for wanted in &then.ends {
        let count = then.ends.iter().filter(|other| *other == wanted).count();
        scene.wait_for(wanted, count);
    }
    given.dead_letters(then.dead_letters.len(), PATIENCE);
    given.receiver.wait_for(then.webhooks.len(), PATIENCE);
    scene.daemon.stop();
    let outcome = Outcome {
        webhooks: given.receiver.requests(),
        events: given.kafka.read(&given.topic("events")).iter().map(Message::json).collect(),
        dead_letters: given.kafka.read(&given.topic("dead-letter")),
    };
    outcome.compare(then);
    given.verify_without_receiver();
    outcome
}

/// Everything that left the daemon, for further assertions of the test.
pub(crate) struct Outcome {
    pub(crate) webhooks: Vec<Received>,
    pub(crate) events: Vec<Value>,
    pub(crate) dead_letters: Vec<Message>,
}

impl Outcome {
    fn compare(&self, then: Then) {
        let ends = self.events.iter().filter(|event| ENDS.iter().any(|end| event["type"] == *end));
        let ends = sorted(ends.map(label));
        let context = || format!("all events: {:#?}", self.events);
        assert_eq!(ends, sorted(then.ends), "ends; {}", context());
        let bodies = self.webhooks.iter().map(|request| request.json().to_string());
        let expected = then.webhooks.iter().map(Value::to_string);
        assert_eq!(sorted(bodies), sorted(expected), "webhooks; {}", context());
        let reasons = self.dead_letters.iter().map(|m| m.header("ringback.reason").to_owned());
        assert_eq!(sorted(reasons), sorted(then.dead_letters), "dead letters; {}", context());
    }

    /// Returns the events with this label.
    pub(crate) fn events(&self, wanted: &str) -> Vec<&Value> {
        self.events.iter().filter(|event| fits(event, wanted)).collect()
    }
}

/// Returns `type` or `type:reason` of an event.
fn label(event: &Value) -> String {
    let kind = event["type"].as_str().expect("an event has a type");
    match event["reason"].as_str() {
        Some(reason) => format!("{kind}:{reason}"),
        None => kind.to_owned(),
    }
}

/// Returns whether an event has this label. A label without a reason fits every reason.
fn fits(event: &Value, wanted: &str) -> bool {
    event["type"] == *wanted || label(event) == wanted
}

fn sorted(items: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut items: Vec<String> = items.into_iter().collect();
    items.sort();
    items
}
