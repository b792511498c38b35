//! Set-ups that several modules need: endpoints that fail until they recover, deleted topics, groups without members.

use super::daemon::Done;
use super::kafka::Message;
use super::receiver::Answer;
use super::samples::{flow, report};
use super::stage::Stage;
use super::{PATIENCE, wait_until};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

impl Stage {
    /// Makes the stage's endpoint fail until the returned flag is set. A retry comes every `retry_ms`.
    pub(crate) fn fail_until_recovered(&mut self, retry_ms: i64) -> Arc<AtomicBool> {
        self.set("delivery.retry.initial_interval_ms", retry_ms);
        self.set("delivery.retry.interval_max_ms", retry_ms);
        let recovered = Arc::new(AtomicBool::new(false));
        let answer = Arc::clone(&recovered);
        let status = move || if answer.load(Ordering::Relaxed) { 200 } else { 503 };
        self.receiver.script(move |_, _| Answer::status(status()));
        recovered
    }

    /// Produces a flow of each uuid with the SMS `s-1`.
    pub(crate) fn send_flows_of(&self, uuids: &[String]) {
        self.send_flows(&uuids.iter().map(|uuid| flow(uuid, &["s-1"])).collect::<Vec<Value>>());
    }

    /// Produces the final report of that SMS for each uuid.
    pub(crate) fn send_reports_of(&self, uuids: &[String]) {
        let reports = uuids.iter().map(|uuid| report(uuid, "s-1", "DELIVERED"));
        self.send_reports(&reports.collect::<Vec<Value>>());
    }

    /// Waits until `count` events of this type are committed, and returns them.
    pub(crate) fn wait_events(&self, kind: &str, count: usize) -> Vec<Value> {
        let of = |events: &[Message]| {
            let events = events.iter().map(Message::json);
            events.filter(|event| event["type"] == *kind).collect::<Vec<Value>>()
        };
        let mut events = self.events();
        of(events.wait(&format!("{count} {kind}"), PATIENCE, |events| of(events).len() >= count))
    }

    /// Runs a command that needs a group without members. Kafka removes a static member only after its session timeout,
    /// so the command is repeated until then.
    pub(crate) fn alone(&self, arguments: &[&str]) -> Done {
        self.alone_on(0, arguments)
    }

    /// Like `alone`, on the machine of instance `number`.
    pub(crate) fn alone_on(&self, number: u8, arguments: &[&str]) -> Done {
        wait_until("the group has no members", PATIENCE, || {
            let done = self.command_of(number, arguments);
            (!done.err.contains(" members: stop all instances")).then_some(done)
        })
    }

    /// Deletes the topic of this kind and waits until it is deleted.
    pub(crate) fn delete_topic(&self, kind: &str) {
        let topic = self.topic(kind);
        self.kafka.delete_topics(&[&topic]);
        wait_until("the topic is deleted", PATIENCE, || {
            (self.kafka.partitions(&topic) == 0).then_some(())
        });
    }
}

impl Done {
    /// Panics unless the command ended with 0.
    #[track_caller]
    pub(crate) fn succeeds(&self) {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
    }
}
