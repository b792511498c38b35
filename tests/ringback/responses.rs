//! The parts of an endpoint's answer that are read beside its status.

use crate::harness::check::{Then, check};
use crate::harness::child::run_dir;
use crate::harness::daemon::command;
use crate::harness::kafka::Message;
use crate::harness::receiver::Answer;
use crate::harness::samples;
use crate::harness::stage::Stage;
use serde_json::{Value, json};
use toml::Value as Toml;

fn response(text: &str) -> Toml {
    let table: toml::Table = toml::from_str(text).expect("a table");
    Toml::Table(table)
}

/// Creates a stage whose webhook reads answers as `wanted` says, and whose receiver answers with this content type and
/// body.
fn stage(name: &str, wanted: &str, content_type: &'static str, body: &'static str) -> Stage {
    let mut stage = Stage::new(name);
    stage.set_webhook("response", response(wanted));
    stage
        .receiver
        .script(move |_, _| Answer::status(200).header("content-type", content_type).body(body));
    stage
}

fn delivered(stage: &Stage, uuid: &str) -> Value {
    let flow = samples::flow(uuid, &[]);
    let then = Then::default().delivered(samples::phase_1(&flow)).event("correlation_ended");
    let outcome = check(stage, |scene| scene.flows(&[flow]), then);
    let events = outcome.events("delivered");
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(event["response_status"], "SUCCESS");
    (*event).clone()
}

#[test]
fn values_mapped_from_a_json_answer_are_in_the_event_as_they_were_written() {
    let wanted = r#"
        type = "json"
        map = [
            { save_in = "$flow.key.reqID", path = "data.ids[1]", mandatory = true },
            { save_in = "$flow.key.amount", path = "data.amount" },
            { save_in = "$flow.key.tags", path = "data.tags" },
            { save_in = "$flow.key.gone", path = "data.gone" },
        ]"#;
    let body =
        r#"{"data": {"ids": ["a", "फोनन \"1\""], "amount": 0.10, "tags": {"Region": "south"}}}"#;
    let stage = stage("responses-json", wanted, "application/json", body);
    let event = delivered(&stage, "json");
    let found = &event["response_variables"];
    assert_eq!(found["$flow.key.reqID"], "फोनन \"1\"");
    assert_eq!(found["$flow.key.tags"], json!({"Region": "south"}));
    assert!(found.get("$flow.key.gone").is_none(), "{found}");
    let events = stage.kafka.read(&stage.topic("events"));
    let spelt = |message: &Message| {
        let text =
            String::from_utf8_lossy(message.value.as_deref().unwrap_or_default()).into_owned();
        text.contains(r#""$flow.key.amount":0.10,"#)
    };
    assert!(events.iter().any(spelt), "{event}");
}

/// The platform's manual: take the path that a path finder shows, and write `data` for its `x`.
#[test]
fn paths_of_the_manual_find_values_in_objects_arrays_and_scalars() {
    let wanted = r#"
        type = "json"
        map = [
            { save_in = "$flow.key.title", path = "data.glossary.title" },
            { save_in = "$flow.key.short", path = "glossary.title" },
            { save_in = "$flow.key.first", path = "data[0].id" },
            { save_in = "$flow.key.whole", path = "data" },
        ]"#;
    let glossary = r#"{"glossary":{"title":"example glossary"}}"#;
    let own = r#"{"data":{"glossary":{"title":"own"}},"glossary":{"title":"beside"}}"#;
    for (name, body, expected) in [
        (
            "object",
            glossary,
            json!({"$flow.key.title": "example glossary", "$flow.key.short": "example glossary",
                "$flow.key.whole": {"glossary": {"title": "example glossary"}}}),
        ),
        ("array", r#"[{"id":5}]"#, json!({"$flow.key.first": 5, "$flow.key.whole": [{"id": 5}]})),
        ("scalar", "true", json!({"$flow.key.whole": true})),
        (
            "own",
            own,
            json!({"$flow.key.title": "own", "$flow.key.short": "beside",
                "$flow.key.whole": {"glossary": {"title": "own"}}}),
        ),
    ] {
        let stage = stage(&format!("responses-{name}"), wanted, "application/json", body);
        let event = delivered(&stage, name);
        assert_eq!(event["response_variables"], expected, "{name}");
    }
}

#[test]
fn values_mapped_from_an_xml_answer_are_in_the_event() {
    let wanted = r#"
        type = "xml"
        namespaces = { c = "urn:crm" }
        map = [
            { save_in = "$flow.key.reqID", path = "/c:answer/c:lead[2]/@id", mandatory = true },
            { save_in = "$flow.key.count", path = "count(//c:lead)" },
            { save_in = "$flow.key.name", path = "//c:lead[@id='7']" },
        ]"#;
    let body =
        "<answer xmlns=\"urn:crm\"><lead id=\"7\">Ada &amp; Co</lead><lead id=\"8\"/></answer>";
    let stage = stage("responses-xml", wanted, "application/xml", body);
    let event = delivered(&stage, "xml");
    let wanted =
        json!({"$flow.key.reqID": "8", "$flow.key.count": 2, "$flow.key.name": "Ada & Co"});
    assert_eq!(event["response_variables"], wanted);
}

/// The endpoint did answer, so the request is repeated only if the definition says so.
#[test]
fn an_unusable_answer_is_a_dead_letter_with_its_reason() {
    let mandatory = r#"type = "json"
        map = [{ save_in = "$flow.key.a", path = "data.a", mandatory = true }]"#;
    let bomb = "<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><a>&e;</a>";
    for (name, wanted, body, reason, word) in [
        ("html", "type = \"json\"", "<p>", "invalid_response", "INVALID_RESPONSE"),
        ("missing", mandatory, "{\"data\":{}}", "invalid_response_map", "INVALID_RESPONSE_MAP"),
        ("bomb", "type = \"xml\"", bomb, "invalid_response", "INVALID_RESPONSE"),
    ] {
        let stage = stage(&format!("responses-{name}"), wanted, "text/plain", body);
        let flow = samples::flow("useless", &[]);
        let then = Then::default().attempted(samples::phase_1(&flow));
        let then = then.event("correlation_ended").dead_letter(reason);
        let outcome = check(&stage, |scene| scene.flows(&[flow]), then);
        let letter = outcome.dead_letters[0].json();
        assert_eq!(letter["attempts"], 1, "{letter}");
        let outcome = &letter["last_outcome"];
        assert_eq!(outcome["error_reason"], word, "{letter}");
        assert_eq!(
            (&outcome["response_status"], &outcome["response_status_code"]),
            (&json!("FAILED"), &json!(200))
        );
        assert!(!letter.to_string().contains("root:"), "{letter}");
    }
}

#[test]
fn an_unusable_answer_is_retried_if_the_definition_says_so() {
    let mut stage = Stage::new("responses-retry");
    stage.set_webhook("response", response("type = \"json\"\nretry = true"));
    stage.set("delivery.retry.initial_interval_ms", 50);
    stage
        .receiver
        .script(|_, nth| Answer::status(200).body(if nth < 3 { "not yet" } else { "{}" }));
    let flow = samples::flow("again", &[]);
    let body = samples::phase_1(&flow);
    let then = Then::default().attempted(body.clone()).attempted(body.clone()).delivered(body);
    let then = then.event("correlation_ended");
    let outcome = check(&stage, |scene| scene.flows(&[flow]), then);
    let failed = outcome.events("attempt_failed");
    assert!(failed.iter().all(|event| event["error_reason"] == "INVALID_RESPONSE"), "{failed:?}");
    assert_eq!(outcome.events("delivered")[0]["attempts"], 3);
}

#[test]
fn webhook_extract_turns_an_example_into_a_definition_that_finds_its_values() {
    let dir = tempfile::tempdir_in(run_dir()).expect("a directory");
    let file = dir.path().join("answer.json");
    let example = r#"{"data":{"reqID":"abc","list":[{"n":1},{"n":2}]}}"#;
    std::fs::write(&file, example).expect("a file");
    let path = file.to_str().expect("a plain path");
    let done = command(&["webhook", "extract", path]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let wanted: toml::Table = toml::from_str(&format!("[[webhook]]\n{}", done.out)).expect("TOML");
    let map = &wanted["webhook"][0]["response"]["map"];
    let paths: Vec<_> = map.as_array().expect("a list").iter().map(|e| e["path"].clone()).collect();
    assert_eq!(paths, ["data.reqID", "data.list[0].n", "data.list[1].n"].map(Toml::from));
    // The manual's form, where `data` is the answer itself.
    let other = dir.path().join("glossary.json");
    for (text, path) in
        [(r#"{"glossary":{"title":"t"}}"#, "data.glossary.title"), ("[{\"id\":5}]", "data[0].id")]
    {
        std::fs::write(&other, text).expect("a file");
        let done = command(&["webhook", "extract", other.to_str().expect("a plain path")]);
        assert!(done.out.contains(&format!("path = \"{path}\"")), "{done:?}");
    }
    // A daemon accepts the printed definition without changes.
    let mut stage = Stage::new("responses-extract");
    stage.set_webhook("response", wanted["webhook"][0]["response"].clone());
    stage.receiver.script(move |_, _| Answer::status(200).body(example));
    let event = delivered(&stage, "extract");
    assert_eq!(
        event["response_variables"].as_object().map(serde_json::Map::len),
        Some(3),
        "{event}"
    );

    std::fs::write(&file, "{\"a\": }").expect("a file");
    let done = command(&["webhook", "extract", path]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("answer.json:1:7"), "{done:?}");
    let done = command(&["webhook", "extract", "/nowhere/answer.json"]);
    assert_eq!(done.code, Some(2), "{done:?}");
}
