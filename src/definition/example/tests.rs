//! The path of every leaf finds the leaf, and every definition is valid TOML.

mod template;

use super::super::mapping::{AnswerFormat, EntryText, ResponseMap};
use super::{Leaf, definition, leaves, sample};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

fn listed(example: &str) -> Vec<[String; 3]> {
    let (_, leaves) = leaves(example.as_bytes()).unwrap();
    leaves.into_iter().map(|leaf| [leaf.path, leaf.name, leaf.sample]).collect()
}

/// Checks that the example has these leaves: path, name, sample.
fn check(example: &str, expected: &[[&str; 3]]) {
    assert_eq!(listed(example), expected, "{example}");
    find_again(example);
}

/// Finds every leaf by its path, and returns the values.
fn find_again(example: &str) -> Vec<String> {
    let (kind, leaves) = leaves(example.as_bytes()).unwrap();
    let names: BTreeSet<_> = leaves.iter().map(|leaf| &leaf.name).collect();
    assert_eq!(names.len(), leaves.len());
    let mut values = Vec::new();
    for leaf in &leaves {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        assert!(!leaf.name.is_empty() && leaf.name.chars().all(plain), "{}", leaf.name);
        let entries = [EntryText { path: &leaf.path, mandatory: true }];
        let map = ResponseMap::parse(kind, &entries, &[]).unwrap_or_else(|f| panic!("{f:?}"));
        let found = map.apply(example.as_bytes()).unwrap();
        assert_eq!(sample(&found[0].1), leaf.sample, "{}", leaf.path);
        values.push(found[0].1.clone());
    }
    values
}

#[test]
fn json_leaves_have_paths_names_and_samples() {
    check(
        r#" {"data":{"reqID":"abc-123","cost":0.10,"none":null,"on":true},
            "items":[{"id":1},{"id":2,"tags":["x"]},{},[]],"phonon-uuid":"u","फ":1} "#,
        &[
            ["data.reqID", "reqID", "\"abc-123\""],
            ["data.cost", "cost", "0.10"],
            ["data.on", "on", "true"],
            ["$.items[0].id", "id", "1"],
            ["$.items[1].id", "items_1_id", "2"],
            ["$.items[1].tags[0]", "tags_0", "\"x\""],
            ["$.phonon-uuid", "phonon_uuid", "\"u\""],
            ["$.फ", "value", "1"],
        ],
    );
    check(r#"{"data":null,"a b":1}"#, &[[r#"$["a b"]"#, "a_b", "1"]]);
    check(r#"{"glossary":{"title":"t"}}"#, &[["data.glossary.title", "title", "\"t\""]]);
    check("7", &[["data", "value", "7"]]);
    check("[1,2]", &[["data[0]", "value_0", "1"], ["data[1]", "value_1", "2"]]);
    check(r#"[{"data":{"x":1}}]"#, &[["data[0].data.x", "x", "1"]]);
    check(r#"{"a.b":{"":1}}"#, &[[r#"data["a.b"][""]"#, "value", "1"]]);
    check(
        r#"{"id":1,"x":{"id":2},"y":[{"id":3}],"x_id":4,"Id":5}"#,
        &[
            ["data.id", "id", "1"],
            ["data.x.id", "x_id", "2"],
            ["data.y[0].id", "y_0_id", "3"],
            ["data.x_id", "x_id_2", "4"],
            ["data.Id", "Id", "5"],
        ],
    );
    check(
        r#"{"a":{"b":1,"c":2},"d":3,"a":{"c":4}}"#,
        &[["data.d", "d", "3"], ["data.a.c", "c", "4"]],
    );
    check("{}", &[]);
    let long = format!("{{\"{0}\":1,\"{0}é\":2}}", "x".repeat(100));
    let names: Vec<_> = listed(&long).into_iter().map(|[_, name, _]| name).collect();
    assert_eq!(names, ["x".repeat(64), "x".repeat(64) + "_2"]);
}

#[test]
fn xml_leaves_have_paths_names_and_samples() {
    check(
        "\u{feff}<?xml version='1.0'?><o><id>7</id><i n='1'>a</i><i n='2' xml:lang='en'/><e/><!--c--></o>",
        &[
            ["/o/id", "id", "\"7\""],
            ["/o/i[1]/@n", "n", "\"1\""],
            ["/o/i[1]", "i_1", "\"a\""],
            ["/o/i[2]/@n", "i_2_n", "\"2\""],
            ["/o/i[2]/@xml:lang", "lang", "\"en\""],
            ["/o/e", "e", "\"\""],
        ],
    );
    check(
        "<s:E xmlns:s='urn:s' xmlns:t='urn:t'>\n<s:b>1</s:b><b s:x='2' t:x='3' x='4' s:y=''>5</b><t:b>6</t:b>\n</s:E>",
        &[
            ["/*[local-name()='E']/*[local-name()='b'][1]", "b_1", "\"1\""],
            ["/*[local-name()='E']/b/@*[local-name()='x'][1]", "x_1", "\"2\""],
            ["/*[local-name()='E']/b/@*[local-name()='x'][2]", "x_2", "\"3\""],
            ["/*[local-name()='E']/b/@x", "x", "\"4\""],
            ["/*[local-name()='E']/b/@*[local-name()='y']", "y", "\"\""],
            ["/*[local-name()='E']/b", "b", "\"5\""],
            ["/*[local-name()='E']/*[local-name()='b'][3]", "b_3", "\"6\""],
        ],
    );
    check(
        "<p>one<b>2</b> <![CDATA[]]><!-- -->three<c/></p>",
        &[
            ["/p/text()[1]", "p_1", "\"one\""],
            ["/p/b", "b", "\"2\""],
            ["/p/text()[3]", "p_3", "\"three\""],
            ["/p/c", "c", "\"\""],
        ],
    );
}

#[test]
fn samples_are_truncated_and_show_invisible_characters_as_escapes() {
    let text = |value: &str| sample(&Value::from(value).to_string());
    assert_eq!(text(&"é".repeat(58)), format!("\"{}\"", "é".repeat(58)));
    assert_eq!(text(&"é".repeat(59)), format!("\"{}…", "é".repeat(59)));
    assert_eq!(text("a\n\u{7f}\u{9b}\u{202e}\u{feff}"), r#""a\n\u007f\u009b\u202e\ufeff""#);
}

#[test]
fn every_definition_is_valid_toml() {
    let example =
        r#"{"req\"ID":"a\"b","\\":"é\u0000 # \n","x\u007fy\u202e":"\u007f\u2028","n":0.10}"#;
    let (kind, leaves) = leaves(example.as_bytes()).unwrap();
    let text = definition(kind, &leaves);
    assert!(text.starts_with("[webhook.response]\ntype = \"json\"\n\n[[webhook.response.map]]\n"));
    assert!(text.ends_with("save_in = \"$flow.key.n\"\npath = \"data.n\" # 0.10\n"), "{text}");
    let response = |text: &str| text.parse::<toml::Table>().unwrap()["webhook"].clone();
    let paths = response(&text)["response"]["map"].as_array().unwrap().clone();
    let paths: Vec<_> = paths.iter().map(|entry| entry["path"].as_str().unwrap()).collect();
    assert_eq!(paths, leaves.iter().map(|leaf| &leaf.path).collect::<Vec<_>>());
    // The definition continues the last webhook of a file.
    let whole = format!("[[webhook]]\nname = \"a\"\n[[webhook]]\nname = \"b\"\n{text}");
    assert_eq!(response(&whole)[1]["response"]["type"].as_str(), Some("json"));
    let (kind, leaves) = super::leaves(b"<a b='\"'/>").unwrap();
    let text = definition(kind, &leaves);
    assert_eq!(response(&text)["response"]["map"][0]["path"].as_str(), Some("/a/@b"));
}

#[test]
fn faults_of_examples_have_a_position() {
    let fault = |example: &[u8]| leaves(example).unwrap_err().to_string();
    assert_eq!(fault(b"{\n \"a\": x}"), "not JSON (line 2, column 7)");
    assert_eq!(fault(b"<a>\n</b>"), "not XML: the wrong element is closed (line 2, column 1)");
    assert_eq!(fault(b" "), "empty (line 1, column 1)");
    assert_eq!(
        fault(br#"{"\ud800":1}"#),
        "a name with half a surrogate pair before this (line 1, column 11)"
    );
    assert_eq!(fault(&[b'['; 129]), "not JSON: it ends too early (line 1, column 129)");
    let deep = "[".repeat(129) + &"]".repeat(129);
    assert_eq!(fault(deep.as_bytes()), "nested deeper than 128 levels (line 1, column 129)");
}

#[test]
fn an_example_has_limits() {
    let json = |count: usize| format!("[{}0]", "1,".repeat(count - 1));
    let xml = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count));
    for example in [json(10_000), xml(10_000)] {
        assert_eq!(leaves(example.as_bytes()).unwrap().1.len(), 10_000);
    }
    for example in [json(10_001), xml(10_001)] {
        assert_eq!(leaves(example.as_bytes()).unwrap_err().problem, "more than 10,000 values");
    }
    // Values that later ones replace count too.
    let hidden = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(1_000_000));
    assert_eq!(leaves(hidden.as_bytes()).unwrap_err().problem, "more than 10,000 values");
    let long = format!("{{\"{}\":1}}", "x".repeat(4_097));
    let problem = "a value whose path is longer than 4,096 characters";
    assert_eq!(leaves(long.as_bytes()).unwrap_err().problem, problem);
    let name = "x".repeat(40);
    let long = format!("{}{}", format!("<{name}>").repeat(110), format!("</{name}>").repeat(110));
    assert_eq!(leaves(long.as_bytes()).unwrap_err().problem, problem);
}

/// Lists the leaves of a JSON tree in its order.
fn scalars(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => found.push(value.clone()),
        Value::Array(items) => items.iter().for_each(|item| scalars(item, found)),
        Value::Object(members) => members.values().for_each(|member| scalars(member, found)),
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..5).prop_map(Value::from_iter),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{1,2}", "[$a.\\[\\]\"'\\\\ *\n\u{7f}é😀]{0,3}", any::<String>()]
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;").replace('\t', "&#9;")
}

/// Generates an element and the number of its leaves.
fn xml() -> impl Strategy<Value = (String, usize)> {
    let tag = || prop::sample::select(vec!["a", "b", "é-1", "s:a", "t:a", "s:b"]);
    let attribute = prop::sample::select(vec!["a", "s:a", "t:a", "b", "xml:lang"]);
    let attributes = prop::collection::btree_map(attribute, "[ -~\t]{0,3}", 0..4);
    let text = "[a-z<&\"]{1,3}".prop_map(|text| (escaped(&text), 0));
    let inert = prop::sample::select(vec!["<!--x-->", "<?pi x?>", "\n ", "<![CDATA[]]>"])
        .prop_map(|text| (text.to_owned(), 0));
    let element = |tag: &str, attributes: BTreeMap<&str, String>, inner: &[(String, usize)]| {
        let spelt: String =
            attributes.iter().map(|(n, v)| format!(" {n}=\"{}\"", escaped(v))).collect();
        let all: String = inner.iter().map(|(text, _)| text.as_str()).collect();
        let leaves: usize = inner.iter().map(|(_, leaves)| leaves).sum();
        (format!("<{tag}{spelt}>{all}</{tag}>"), leaves + attributes.len())
    };
    let leaf = (tag(), attributes.clone(), prop::collection::vec(text.clone(), 0..2)).prop_map(
        move |(tag, attributes, inner)| {
            let listed = usize::from(!inner.is_empty() || attributes.is_empty());
            let (text, leaves) = element(tag, attributes, &inner);
            (text, leaves + listed)
        },
    );
    leaf.prop_recursive(4, 40, 5, move |inner| {
        // The first child is an element, so the parent is no leaf. It also separates the text before it from other
        // text.
        let rest = prop::collection::vec(prop_oneof![3 => inner.clone(), 1 => inert.clone()], 0..5);
        (tag(), attributes.clone(), text.clone(), inner, rest).prop_map(
            move |(tag, attributes, (text, _), first, rest)| {
                let inner = [vec![(text, 1), first], rest].concat();
                element(tag, attributes, &inner)
            },
        )
    })
}

proptest! {
    #[test]
    fn every_leaf_of_random_json_is_found_again(example in json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&example) } else { serde_json::to_string(&example) };
        let found = find_again(&text.unwrap());
        let found: Vec<Value> = found.iter().map(|value| serde_json::from_str(value).unwrap()).collect();
        let mut expected = Vec::new();
        scalars(&example, &mut expected);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn every_leaf_of_random_xml_is_found_again((inner, count) in xml()) {
        let example = format!("<r xmlns:s='urn:s' xmlns:t='urn:t'>{inner}</r>");
        prop_assert_eq!(find_again(&example).len(), count, "{}", example);
        // All paths differ, and each finds its leaf and no other.
        let (kind, leaves) = leaves(example.as_bytes()).unwrap();
        prop_assert_eq!(kind, AnswerFormat::Xml);
        let paths: BTreeSet<_> = leaves.iter().map(|leaf| &leaf.path).collect();
        prop_assert_eq!(paths.len(), leaves.len());
        for path in paths {
            let count = format!("count({path})");
            let entries = [EntryText { path: &count, mandatory: true }];
            let map = ResponseMap::parse(kind, &entries, &[]).unwrap();
            prop_assert_eq!(&map.apply(example.as_bytes()).unwrap()[0].1, "1", "{}", path);
        }
    }

    #[test]
    fn random_definitions_are_valid_toml(
        path in "[\u{0}-\u{9f}\u{200b}-\u{2069}\u{10000}]{0,9}",
        value in "[\u{0}-\u{9f}\u{200b}-\u{2069}\u{10000}]{0,9}",
    ) {
        let sample = sample(&Value::from(value).to_string());
        let leaf = Leaf { path: path.clone(), name: "x".to_owned(), sample };
        let table: toml::Table = definition(AnswerFormat::Json, &[leaf]).parse().unwrap();
        let found = table["webhook"]["response"]["map"][0]["path"].as_str();
        prop_assert_eq!(found, Some(path.as_str()));
    }
}
