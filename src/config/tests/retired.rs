//! Keys of earlier versions: a value that changes nothing is a warning, any other value is a fault.

use super::{Folder, check};
use crate::config::Loaded;

const KEY: &str = "[topics]\nencoding = \"json\"\n";
const WARNING: &str = "topics.encoding: no longer has an effect: events and dead letters are always JSON; remove the key";
const FAULT: &str = "topics.encoding: is not \"json\", the only value that is possible: events and dead letters are always JSON; \
     remove the key";

impl Folder {
    /// Returns the warnings as users read them, without the folder's name.
    pub(super) fn warnings(&self) -> Vec<String> {
        let loaded = Loaded::load_with(&self.path("ringback.toml"), &self.variables).unwrap();
        let again = Loaded::again_with(&loaded.settings, &loaded.effective, &self.variables);
        assert_eq!(again.unwrap().warnings, loaded.warnings, "a reload has the same warnings");
        let folder = format!("{}/", self.directory.path().display());
        loaded.warnings.iter().map(|it| it.to_string().replace(&folder, "")).collect()
    }
}

#[test]
fn a_retired_key_with_the_value_that_is_always_in_force_is_a_warning() {
    let folder = Folder::new(KEY, "");
    assert_eq!(folder.warnings(), [format!("ringback.toml:2: warning: {WARNING}")]);
    let without = Folder::new("", "");
    assert!(without.warnings().is_empty());
    assert_eq!(folder.loaded().0.topics, without.loaded().0.topics);
    let variable = without.variable("RINGBACK__TOPICS__ENCODING", "json");
    let warning =
        WARNING.replacen("topics.encoding", "RINGBACK__TOPICS__ENCODING (topics.encoding)", 1);
    assert_eq!(variable.warnings(), [format!("environment: warning: {warning}")]);
}

#[test]
fn a_retired_key_with_another_value_is_a_fault() {
    for value in ["\"avro\"", "\"\"", "7", "[\"json\"]"] {
        let text = format!("[topics]\nencoding = {value}\n");
        check(&text, "", &[&format!("ringback.toml:2: {FAULT}")]);
    }
    let folder = Folder::new(KEY, "").variable("RINGBACK__TOPICS__ENCODING", "avro");
    let fault =
        FAULT.replacen("topics.encoding", "RINGBACK__TOPICS__ENCODING (topics.encoding)", 1);
    assert_eq!(folder.faults(), [format!("environment: {fault}")]);
}
