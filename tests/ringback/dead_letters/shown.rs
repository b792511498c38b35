//! Text from outside, shown on an operator's terminal: it can't control the terminal.

use super::dead_letter;
use crate::harness::PATIENCE;
use crate::harness::kafka::Record;
use crate::harness::stage::Stage;
use serde_json::Value;

/// Clears the screen, changes the direction of text and rings the bell. The joiners in it belong to words and must be
/// kept.
const HOSTILE: &str = "a\u{1b}[2J\u{202e}b\u{9b}1m\u{2066}c\u{7}क्\u{200d}ष می\u{200c}خ";

fn assert_harmless(text: &str) {
    let bad = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(bad), "{text:?}");
}

#[test]
fn foreign_text_controls_no_terminal_and_json_keeps_its_value() {
    let stage = Stage::new("letters-hostile");
    let mut daemon = stage.start();
    let record = Record {
        topic: stage.topic("flow-complete"),
        key: Some(format!("{HOSTILE}\nPLACE").into_bytes()),
        value: Some(HOSTILE.into()),
        ..Record::default()
    };
    stage.kafka.produce_with(&[record], &[("x", HOSTILE)]);
    stage.dead_letters(1, PATIENCE);
    daemon.stop();
    for words in [&["show"][..], &["list"], &["show", "--json"], &["list", "--json"]] {
        let shown = dead_letter(&stage, words).out;
        assert_harmless(&shown);
        assert!(shown.contains('\u{200d}') && shown.contains('\u{200c}'), "{words:?}: {shown}");
    }
    assert_eq!(dead_letter(&stage, &["list"]).out.lines().count(), 2, "a key adds no line");
    let shown = dead_letter(&stage, &["show", "--json"]).out;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((&shown["value"], &shown["headers"]["x"]), (&HOSTILE.into(), &HOSTILE.into()));
    let traced = stage.command(&["trace", HOSTILE]);
    assert_harmless(&traced.out);
    assert_harmless(&traced.err);
}
