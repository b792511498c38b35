//! The values that a map finds in an answer, by kind of answer.

mod hostile;
mod json;
mod property;
mod xml;

use super::{AnswerFormat, ENTRIES_MAX, EntryText, MapFault, PathFault, ResponseMap};

fn map(kind: AnswerFormat, paths: &[&str]) -> ResponseMap {
    let entries: Vec<_> = paths.iter().map(|path| EntryText { path, mandatory: false }).collect();
    ResponseMap::parse(kind, &entries, &[("s", "urn:s")]).unwrap()
}

/// Returns the values of the paths (`None` if one is missing), or the fault.
fn find(
    kind: AnswerFormat,
    answer: impl AsRef<[u8]>,
    paths: &[&str],
) -> Result<Vec<Option<String>>, MapFault> {
    let mut values = vec![None; paths.len()];
    for (entry, value) in map(kind, paths).apply(answer.as_ref())? {
        values[entry] = Some(value);
    }
    Ok(values)
}

/// Returns the value of one path.
fn find_one(kind: AnswerFormat, answer: impl AsRef<[u8]>, path: &str) -> Option<String> {
    find(kind, answer, &[path]).unwrap().remove(0)
}

fn path_fault(kind: AnswerFormat, path: &str) -> PathFault {
    let entries = [EntryText { path, mandatory: true }];
    ResponseMap::parse(kind, &entries, &[("s", "urn:s")]).unwrap_err().remove(0).fault
}

/// Returns the reason why an answer cannot be read. It does not depend on the map.
fn unreadable(kind: AnswerFormat, answer: impl AsRef<[u8]>) -> String {
    let path = if kind == AnswerFormat::Json { "a" } else { "/a" };
    let [nothing, something] = [&[][..], &[path]].map(|paths| find(kind, answer.as_ref(), paths));
    assert_eq!(nothing, something);
    match nothing {
        Err(MapFault::Unreadable { detail }) => detail,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_mandatory_entry_is_a_fault_and_a_missing_optional_one_is_left_out() {
    for (kind, answer, paths) in [
        (AnswerFormat::Json, r#"{"a":1}"#, ["a", "b"]),
        (AnswerFormat::Xml, "<a>1</a>", ["/a", "/b"]),
    ] {
        let [there, missing] = paths;
        let entries = |mandatory| {
            [EntryText { path: missing, mandatory }, EntryText { path: there, mandatory: true }]
        };
        let map = |mandatory| ResponseMap::parse(kind, &entries(mandatory), &[]).unwrap();
        assert_eq!(map(false).kind(), kind);
        let found = map(false).apply(answer.as_bytes()).unwrap();
        assert_eq!(found.iter().map(|(entry, _)| *entry).collect::<Vec<_>>(), [1]);
        let fault = MapFault::Missing { entry: 0, path: missing.to_owned() };
        assert_eq!(map(true).apply(answer.as_bytes()), Err(fault));
    }
}

#[test]
fn every_faulty_path_is_reported() {
    let entries = ["a", "a[", "b.", "c"].map(|path| EntryText { path, mandatory: false });
    let faults = ResponseMap::parse(AnswerFormat::Json, &entries, &[]).unwrap_err();
    let found: Vec<_> = faults.iter().map(|fault| (fault.entry, fault.fault.column)).collect();
    assert_eq!(found, [(1, 3), (2, 3)]);
    assert_eq!(
        faults[0].fault.to_string(),
        "column 3: the brackets are empty; write an index, such as `[0]`"
    );
}

#[test]
fn a_map_has_a_limit_of_entries() {
    let entries = vec![EntryText { path: "a", mandatory: false }; ENTRIES_MAX + 1];
    assert!(ResponseMap::parse(AnswerFormat::Json, &entries[1..], &[]).is_ok());
    let faults = ResponseMap::parse(AnswerFormat::Json, &entries, &[]).unwrap_err();
    assert_eq!((faults.len(), faults[0].entry), (1, ENTRIES_MAX));
}

#[test]
fn a_value_that_is_too_long_is_a_fault_and_not_truncated() {
    // With its quotes the value has exactly the maximum of bytes; each letter has two.
    let fits = "é".repeat(super::VALUE_MAX / 2 - 1);
    for (kind, before, after, path) in
        [(AnswerFormat::Json, "{\"a\":\"", "\"}", "a"), (AnswerFormat::Xml, "<a>", "</a>", "/a")]
    {
        let found = find_one(kind, format!("{before}{fits}{after}"), path).unwrap();
        assert_eq!(found, format!("\"{fits}\""));
        let long = find(kind, format!("{before}{fits}x{after}"), &[path]);
        assert_eq!(long, Err(MapFault::TooLong { entry: 0 }));
    }
}

#[test]
fn faults_of_answers_quote_nothing_of_them() {
    let secret = "hunter2";
    let json =
        [r#"{"hunter2":hunter2}"#, r#"["hunter2" "hunter2"]"#, "hunter2", r#"{"hunter2":"hunter2"#];
    let xml = [
        "<hunter2></hunter>",
        "<a>&hunter2;</a>",
        "<hunter2:a/>",
        "<a hunter2='' hunter2=''/>",
        "<a hunter2/>",
        "<?xml version='1.0' encoding='hunter2'?><a/>",
        "hunter2",
        "<!DOCTYPE hunter2><a/>",
        "<a>hunter2",
    ];
    let json = json.map(|answer| unreadable(AnswerFormat::Json, answer));
    let xml = xml.map(|answer| unreadable(AnswerFormat::Xml, answer));
    for detail in json.iter().chain(&xml) {
        assert!(!detail.contains(secret) && detail.contains("line 1, column"), "{detail}");
    }
}
