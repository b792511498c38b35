//! Answers of endpoints, and examples of answers.

use super::{seen, split};
use crate::target::{Seen, Target};
use ringback::definition::example::{definition, leaves, template};
use ringback::definition::mapping::{AnswerFormat, EntryText, ResponseMap, VALUE_MAX};
use serde_json::value::RawValue;

const JSON_WORDS: &[&str] = &[
    "data.",
    "data[0]",
    "data",
    "x.",
    "[0]",
    "[\"a.b\"]",
    "$.",
    "null",
    "\\ud800",
    "{\"a\":",
    "[[",
    "1e400",
    "\u{feff}",
];
const XML_WORDS: &[&str] = &[
    "//",
    "@",
    "[last()]",
    "ancestor-or-self::",
    "count(",
    "string-join(",
    "local-name()='a'",
    "&#0;",
    "&lt;",
    "]]>",
    "<!DOCTYPE a [<!ENTITY b 'c'>]>",
    "xmlns:p='u'",
    "<?xml version='1.0' encoding='ISO-8859-1'?>",
    "<![CDATA[",
];

pub(super) const NAMED: Target = Target {
    name: "named-answer",
    run: named,
    seeds: || {
        let text = r#"{"keys":[{"name":"$flow.key.a","value":"x"},{"name":"b","value":{"c":[1, null]}},{"name":"$user.key.a b","value":0.10}]}"#;
        vec![text.into()]
    },
    words: JSON_WORDS,
    bytes_per_byte: 1024,
};

fn named(input: &[u8]) -> Seen {
    let found = ringback::definition::facts::named(input);
    for (name, value) in &found {
        assert!(name.starts_with('$'), "{name}");
        serde_json::from_str::<&RawValue>(value).expect("a value is JSON");
    }
    seen(found)
}

pub(super) const JSON_MAP: Target = Target {
    name: "json-map",
    run: |input| map(AnswerFormat::Json, input),
    seeds: || {
        [
            "data.ids[1]\n\n{\"data\": {\"ids\": [\"a\", \"b\"], \"amount\": 0.10}}",
            "data.glossary.title\n\n{\"glossary\": {\"title\": \"t\"}}",
            "data[0].id\n\n[{\"id\": 5}]",
            "data.b\n\n{\"data\": {\"a\": null}, \"b\": 1}",
            "[0][\"a.b\"]\n\n[{\"a.b\": {\"c\": [1, true, null]}}]",
            "$.a\n\n{\"a\": \"\\u00e9\\n\", \"a\": 1234567890123456789}",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    },
    words: JSON_WORDS,
    bytes_per_byte: 64,
};

pub(super) const XML_MAP: Target = Target {
    name: "xml-map",
    run: |input| map(AnswerFormat::Xml, input),
    seeds: || {
        [
            "/a/b[2]/@id\n\n<a><b id='1'/><b id=\"2\">x &amp; y</b></a>",
            "count(//p:b) + string-length(normalize-space(/p:a))\n\n<a xmlns='u'><b/> <b>z</b></a>",
            "//b[@id='7' and position() < last()]/following-sibling::*[1]\n\n<a><b id='7'/><c><![CDATA[d]]></c></a>",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    },
    words: XML_WORDS,
    bytes_per_byte: 1024,
};

pub(super) const EXAMPLE: Target = Target {
    name: "example",
    run: example,
    seeds: || {
        [
            "{\"data\": {\"ids\": [1, {\"a b\": \"c\"}], \"\": false}}",
            "<a xmlns:p='u' p:x='1'><b>c</b><b/><p:d>e</p:d></a>",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    },
    words: XML_WORDS,
    bytes_per_byte: 1024,
};

fn map(kind: AnswerFormat, input: &[u8]) -> Seen {
    let (path, answer) = split(input);
    let path = String::from_utf8_lossy(path);
    let entry = EntryText { path: &path, mandatory: false };
    let map = match ResponseMap::parse(kind, &[entry], &[("p", "u")]) {
        Ok(map) => map,
        Err(faults) => {
            assert!(faults.iter().all(|fault| fault.fault.column >= 1), "{faults:?}");
            return seen(faults);
        }
    };
    let found = map.apply(answer);
    for (_, value) in found.iter().flatten() {
        assert!(value.len() <= VALUE_MAX && value != "null", "{value}");
        serde_json::from_str::<&RawValue>(value).expect("the value is JSON as it was written");
    }
    seen(found.map_err(|fault| fault.to_string()))
}

/// Checks that a definition made from an example finds each listed value again, and that a template is valid TOML.
fn example(input: &[u8]) -> Seen {
    if let Ok(made) = template(input) {
        let table: toml::Table = made.definition("x").parse().expect("the template is TOML");
        assert_eq!(table["template"][0]["format"].as_str(), Some(made.text.as_str()));
    }
    let (kind, leaves) = match leaves(input) {
        Ok(found) => found,
        Err(fault) => return seen((fault.line, fault.column, fault.problem)),
    };
    let entries: Vec<EntryText<'_>> = leaves
        .iter()
        .take(256)
        .map(|leaf| EntryText { path: &leaf.path, mandatory: true })
        .collect();
    let map = ResponseMap::parse(kind, &entries, &[]).expect("the listed paths are valid");
    let found = map.apply(input).map(|found| found.len());
    assert!(
        found.as_ref().is_ok_and(|count| *count == entries.len()) || input.len() > VALUE_MAX,
        "{found:?}"
    );
    let text = definition(kind, &leaves);
    toml::from_str::<toml::Table>(&format!("[[webhook]]\n{text}")).expect("the text is TOML");
    seen(leaves.len())
}
