//! Calls of the platform's functions: secrets, functions of the operator's catalogue, needed variables, and answers that
//! set variables by name.

use super::commands::file;
use super::{default_webhook, define, record, stage, to};
use crate::harness::PATIENCE;
use crate::harness::check::Scene;
use crate::harness::kafka::Message;
use crate::harness::receiver::Answer;
use crate::harness::stage::Stage;

const SECRET: &str = "hunter2-\"of\"-the-platform";
/// The secret as it stands in JSON.
const ESCAPED: &str = r#"hunter2-\"of\"-the-platform"#;

const TRANSLATE: &str = r#"
    [[webhook]]
    name = "translate"
    account = 28
    default = true
    url = "{url}/translate"
    body = "internal"
    method_name = "translateText"
    [webhook.values]
    apiKey = { env = "API_KEY" }
    "$flow.key.inputText" = "$flow.key.leadid"
    "$flow.key.sourceLang" = 7
    "$flow.key.targetLang" = true
"#;

fn contains(messages: &[Message], text: &str) -> bool {
    let values = messages.iter().filter_map(|message| message.value.as_deref());
    values.into_iter().any(|value| String::from_utf8_lossy(value).contains(text))
}

/// Panics if the secret is in any topic that the daemon writes.
#[track_caller]
fn is_hidden(stage: &Stage) {
    for kind in ["events", "dead-letter", "changelog", "inbox"] {
        let messages = stage.kafka.read(&stage.topic(kind));
        assert!(!contains(&messages, "hunter2"), "{kind}");
    }
}

#[test]
fn a_secret_of_a_function_is_sent_with_each_attempt_and_stored_nowhere() {
    let mut stage = stage("functions-secret", TRANSLATE);
    stage.set_variable("API_KEY", SECRET);
    // The endpoint repeats the request, first as JSON and then in its own words.
    stage.receiver.script(|request, nth| match nth {
        1 => Answer::status(503).body(request.text()),
        2 => Answer::status(404).body(&format!("wrong key {SECRET}")),
        _ => Answer::status(200).body(&format!(
            r#"{{"keys":[{{"name":"$flow.key.translatedText","value":"{ESCAPED}"}}]}}"#
        )),
    });
    let mut scene = Scene::open(&stage);
    stage.kafka.produce(&[record(&stage, "u-1", 28, &super::KEYS)]);
    let dead = stage.dead_letters(1, PATIENCE).remove(0).json();
    let stored = dead["request"]["body"].as_str().expect("text");
    assert!(stored.contains(r#"{"name":"$flow.key.apiKey","value":"***secret***"}"#), "{stored}");
    assert_eq!(dead["last_outcome"]["response_raw"], "wrong key ***", "{dead}");
    let failed = scene.wait_for("attempt_failed", 2);
    let echo = failed[0]["response_raw"].as_str().expect("text");
    assert!(echo.contains(r#""value":"***"}"#), "{echo}");
    is_hidden(&stage);

    let done = stage.command(&["dead-letter", "replay", "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let delivered = scene.wait_for("delivered", 1);
    assert_eq!(delivered[0]["response_variables"]["$flow.key.translatedText"], "***");
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(
            request.text(),
            format!(
                r#"{{"method":"translateText","keys":[{{"name":"$flow.key.apiKey","value":"{ESCAPED}"}},{{"name":"$flow.key.inputText","value":"L-42"}},{{"name":"$flow.key.sourceLang","value":7}},{{"name":"$flow.key.targetLang","value":true}}]}}"#
            )
        );
    }
    is_hidden(&stage);
    assert!(!scene.daemon.logged().contains("hunter2"));
    let flow = record(&stage, "u-2", 28, &super::KEYS).value.expect("a record");
    let flow = file(&stage, "flow.json", &flow);
    let done = stage.command(&["webhook", "preview", "translate", "--flow", &flow]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("***secret***") && !done.out.contains("hunter2"), "{done:?}");
    let done = stage.command(&["webhook", "test", "translate", "--yes"]);
    assert!(!done.out.contains("hunter2") && !done.err.contains("hunter2"), "{done:?}");
}

const CATALOGUE: &str = r#"
    [[method]]
    name = "FindLanguage"
    purpose = "find the language of a text"
    request = [{ name = "$flow.key.text", from = ["$flow.key.leadid"] }]
    response = ["$flow.key.language"]
"#;

#[test]
fn functions_of_the_operators_catalogue_set_their_variables_by_name() {
    let rule = |name: &str, definition: &str| {
        format!(
            "[[webhook]]\nname = \"{name}\"\naccount = 28\nurl = \"{{url}}/{name}\"\n{definition}\n\
             [[rule]]\naccount = 28\non = [\"flow_complete\"]\nwebhook = \"{name}\"\n"
        )
    };
    let text = default_webhook(28, "url = \"{url}/crm\"")
        + &rule("note", "body = \"json\"\ntemplate = '{\"language\": \"$flow.key.language\"}'")
        + &rule("find", "body = \"internal\"\nmethod_name = \"FindLanguage\"")
        + &rule(
            "own",
            "body = \"internal\"\nmethod_name = \"OwnFunction\"\nvalues = { any = 0.5, \"$flow.key.more\" = \"%ani%\" }",
        );
    let mut stage = stage("functions-catalogue", &text);
    define(&stage, &text);
    let catalogue = file(&stage, "functions.toml", CATALOGUE.as_bytes());
    stage.set("catalogue.internal", catalogue);
    stage.receiver.script(|request, _| match request.path.as_str() {
        "/find" => {
            Answer::status(200).body(r#"{"keys": [{"name": "$flow.key.language", "value": "hi"}]}"#)
        }
        _ => Answer::status(200).body("no JSON"),
    });
    let done = stage.command(&["check"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(
        done.err.contains("webhook[own].method_name: no catalogue describes this function"),
        "{done:?}"
    );
    assert_eq!(done.err.lines().count(), 1, "{done:?}");
    let mut scene = Scene::open(&stage);
    stage.kafka.produce(&[record(&stage, "u-1", 28, &super::KEYS)]);
    scene.wait_for("correlation_ended", 1);
    let delivered = scene.wait_for("delivered", 4);
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    assert_eq!(
        to(&requests, "/find").text(),
        r#"{"method":"FindLanguage","keys":[{"name":"$flow.key.text","value":"L-42"}]}"#
    );
    assert_eq!(
        to(&requests, "/own").text(),
        r#"{"method":"OwnFunction","keys":[{"name":"$flow.key.more","value":"919879072567"},{"name":"any","value":0.5}]}"#
    );
    assert_eq!(to(&requests, "/note").text(), r#"{"language":"hi"}"#);
    let found = delivered.iter().find(|event| event["webhook"] == "find").expect("an event");
    assert_eq!(found["response_variables"]["$flow.key.language"], "hi");
    stage.verify();
}

#[test]
fn a_call_without_a_variable_that_the_function_needs_is_a_dead_letter() {
    let fetch = r#"url = "{url}/fetch"
        body = "internal"
        method_name = "fetchUserPreferences""#;
    let update = r#"url = "{url}/update"
        body = "internal"
        method_name = "updateUserPreferences""#;
    let outbound = r#"url = "{url}/outbound"
        body = "internal"
        method_name = "createOutbound"
        parameters = ["flow.key"]
        values = { apiVersion = 2, securityID = "s", flowID = "201", clientID = 5 }
        optional = ["$flow.syskey.delayMinutes"]"#;
    let text =
        default_webhook(28, fetch) + &default_webhook(29, update) + &default_webhook(30, outbound);
    let stage = stage("functions-needed", &text);
    let mut scene = Scene::open(&stage);
    let flows = [28, 29, 30].map(|account| record(&stage, &format!("u-{account}"), account, &[]));
    stage.kafka.produce(&flows);
    scene.wait_for("correlation_ended", 3);
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    assert_eq!(
        to(&requests, "/fetch").text(),
        r#"{"method":"fetchUserPreferences","keys":[{"name":"$user.syskey.contactNumber","value":"919879072567"},{"name":"$user.syskey.accountID","value":28}]}"#
    );
    assert_eq!(
        to(&requests, "/update").text(),
        r#"{"method":"updateUserPreferences","keys":[{"name":"$user.syskey.contactNumber","value":"919879072567"},{"name":"$user.syskey.accountID","value":29}]}"#
    );
    assert_eq!(requests.len(), 2, "{requests:?}");
    let dead = stage.dead_letters(1, PATIENCE).remove(0);
    assert_eq!(dead.header("ringback.reason"), "invalid_flow_var");
    let outcome = &dead.json()["last_outcome"];
    assert_eq!(outcome["error_reason"], "INVALID_FLOW_VAR");
    let text = outcome.to_string();
    let wanted = "no value for $flow.syskey.contactNumbers, which createOutbound needs";
    assert!(text.contains(wanted), "{text}");
}
