//! `ringback verify` at the end of a test: compares all topics, the stores and the receiver's log with each other.

use super::daemon::{Done, command_with};
use super::stage::Stage;
use serde_json::Value;

impl Stage {
    /// Panics with the report unless the checker, with nothing in flight, finds no violation. Returns the counts.
    pub(crate) fn verify(&self) -> Value {
        self.verify_with(0, &["--at-rest"])
    }

    /// Like `verify`, but beside running daemons and without the receiver's log, which would be older than the topics.
    pub(crate) fn verify_beside(&self) -> Value {
        clean(&self.command(&["verify", "--json"]))
    }

    /// Like `verify`, but without the receiver's log: other endpoints than the receiver may have got deliveries.
    pub(crate) fn verify_without_receiver(&self) -> Value {
        clean(&self.command(&["verify", "--json", "--at-rest"]))
    }

    /// Like `verify`, with further arguments and the configuration of instance `number`, whose store is compared.
    pub(crate) fn verify_with(&self, number: u8, more: &[&str]) -> Value {
        clean(&self.verified(number, more))
    }

    /// Runs `ringback verify --json` with the receiver's log and further arguments.
    pub(crate) fn verified(&self, number: u8, more: &[&str]) -> Done {
        let config = self.write_config(number, super::child::free_port());
        let log = self.instance_dir(number).join("requests.jsonl");
        self.receiver.write_log(&log);
        let paths = [config, log].map(|path| path.to_str().expect("a plain path").to_owned());
        let [config, log] = paths.each_ref();
        let fixed = ["verify", "--json", "--config", config, "--receiver-log", log];
        command_with(&[&fixed, more].concat(), self.variables())
    }
}

fn clean(done: &Done) -> Value {
    assert_eq!(done.code, Some(0), "{}{}", done.err, shown(done));
    report(done)["counts"].clone()
}

/// Returns the report of a `verify --json`.
pub(crate) fn report(done: &Done) -> Value {
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"))
}

fn shown(done: &Done) -> String {
    serde_json::from_str::<Value>(&done.out).map_or_else(
        |_| done.out.clone(),
        |report| serde_json::to_string_pretty(&report).unwrap_or_default(),
    )
}
