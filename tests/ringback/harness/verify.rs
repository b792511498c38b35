//! `ringback verify` as the end of a test: what all topics, the stores and the receiver say of each other.

use super::daemon::{Done, command_with};
use super::stage::Stage;
use serde_json::Value;

impl Stage {
    /// Panics with the report unless the checker finds nothing wrong, now that nothing is under way; returns the counts.
    pub(crate) fn verify(&self) -> Value {
        self.verify_with(0, &["--at-rest"])
    }

    /// The same while daemons are at work, without the receiver, whose log would be older than what is read afterwards.
    pub(crate) fn verify_beside(&self) -> Value {
        clean(&self.command(&["verify", "--json"]))
    }

    /// Nothing is under way, but others than the receiver may have been delivered to.
    pub(crate) fn verify_without_receiver(&self) -> Value {
        clean(&self.command(&["verify", "--json", "--at-rest"]))
    }

    /// The same by the configuration of instance `number`, whose store is compared, with more arguments.
    pub(crate) fn verify_with(&self, number: u8, more: &[&str]) -> Value {
        clean(&self.verified(number, more))
    }

    /// What `ringback verify --json` says, with the receiver's log.
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

/// The report of a `verify --json`.
pub(crate) fn report(done: &Done) -> Value {
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"))
}

fn shown(done: &Done) -> String {
    serde_json::from_str::<Value>(&done.out).map_or_else(
        |_| done.out.clone(),
        |report| serde_json::to_string_pretty(&report).unwrap_or_default(),
    )
}
