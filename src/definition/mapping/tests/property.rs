//! Random answers and paths: values equal those of serde_json's tree, and nothing panics.

use super::super::json_path::JsonStep;
use super::super::{AnswerFormat, push_item, push_member};
use super::{find, find_one, map};
use proptest::prelude::*;
use serde_json::Value;

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a\\[\\]{},:\"\\\\\n ]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab.\"\\\\]{0,2}", inner, 0..4).prop_map(Value::from_iter),
        ]
    })
}

fn steps() -> impl Strategy<Value = Vec<JsonStep>> {
    let step = prop_oneof![
        "[ab.\"\\\\]{0,2}".prop_map(JsonStep::Member),
        (0..4_usize).prop_map(JsonStep::Item),
    ];
    prop::collection::vec(step, 0..4)
}

proptest! {
    #[test]
    fn paths_find_the_values_of_a_parsed_tree(
        answer in json(),
        paths in prop::collection::vec(steps(), 1..6),
        pretty in any::<bool>(),
    ) {
        let spelt: Vec<_> = paths.iter().map(|steps| {
            let mut path = String::from("$");
            for step in steps {
                match step {
                    JsonStep::Member(name) => push_member(&mut path, name),
                    JsonStep::Item(index) => push_item(&mut path, *index),
                }
            }
            path
        }).collect();
        let spelt: Vec<_> = spelt.iter().map(String::as_str).collect();
        let text = if pretty { serde_json::to_string_pretty(&answer) } else { serde_json::to_string(&answer) };
        let found = find(AnswerFormat::Json, text.unwrap(), &spelt).unwrap();
        for (steps, found) in paths.iter().zip(found) {
            let expected = steps.iter().try_fold(&answer, |value, step| match step {
                JsonStep::Member(name) => value.get(name),
                JsonStep::Item(index) => value.get(index),
            });
            let found: Option<Value> = found.map(|found| serde_json::from_str(&found).unwrap());
            prop_assert_eq!(found.as_ref(), expected.filter(|value| !value.is_null()));
        }
    }

    #[test]
    fn text_that_serde_json_accepts_is_accepted(text in "[\\[\\]{}\",:0-9a\\\\.eE+ tru-]{0,12}") {
        let taken = serde_json::from_str::<Value>(&text).is_ok();
        // A number that no f64 can contain and half a surrogate pair are valid JSON, although serde_json's tree refuses
        // them.
        let read = map(AnswerFormat::Json, &["[0]"]).apply(text.as_bytes()).is_ok();
        prop_assert!(read || !taken);
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        for kind in [AnswerFormat::Json, AnswerFormat::Xml] {
            map(kind, &["a"]).apply(&bytes).ok();
        }
    }

    #[test]
    fn no_markup_panics(text in "[<>/a!\\-\\[CDAT\\]?&;='\" x:]{0,40}", path in "[a/*@.\\[\\]()1 |:=<'-]{0,20}") {
        for path in [path.as_str(), "//a/following::*[. = 1]"] {
            let entries = [super::EntryText { path, mandatory: false }];
            if let Ok(map) = super::ResponseMap::parse(AnswerFormat::Xml, &entries, &[]) {
                map.apply(text.as_bytes()).ok();
                map.apply(format!("<a><a a='1'>x</a>{text}</a>").as_bytes()).ok();
            }
            super::ResponseMap::parse(AnswerFormat::Json, &entries, &[]).ok();
        }
    }

    #[test]
    fn xml_texts_are_found_unchanged(text in "[ -~é😀\\n\\t]{0,40}") {
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let found = find_one(AnswerFormat::Xml, format!("<a>{escaped}</a>"), "/a").unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(&found).unwrap(), text);
    }
}
