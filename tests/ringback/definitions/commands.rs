//! `ringback webhook preview`, `ringback webhook test` and `ringback check`, with which an author tries definitions
//! before a daemon uses them.

use super::{KEYS, default_webhook, define, record};
use crate::harness::broker;
use crate::harness::child::free_port;
use crate::harness::daemon::EX_CONFIG;
use crate::harness::receiver::Answer;
use crate::harness::samples::report;
use crate::harness::stage::Stage;
use serde_json::{Value, json};

const KEY: &str = "hunter2-of-the-crm";

/// Creates a stage with the definitions `text` and without Kafka, which these commands do not need.
pub(super) fn stage(name: &str, text: &str) -> Stage {
    let mut stage = Stage::without_topics(broker::shared(), name);
    stage.set("kafka.bootstrap_servers", format!("127.0.0.1:{}", free_port()));
    let file = define(&stage, text);
    stage.set("accounts.file", file);
    stage.set_variable("CRM_KEY", KEY);
    stage
}

/// Writes a file beside the configuration, and returns its path.
pub(super) fn file(stage: &Stage, name: &str, bytes: &[u8]) -> String {
    let path = stage.instance_dir(0).join(name);
    std::fs::write(&path, bytes).expect("a file");
    path.to_str().expect("a plain path").to_owned()
}

const LEAD: &str = r#"url = "{url}/leads/$flow.key.leadid?v=2"
    method = "PUT"
    query = [{ name = "call", value = "$flow.key.obdReqID" }]
    headers = [{ name = "X-Vip", value = "$flow.key.vip" }, { name = "X-Api-Key", value = { env = "CRM_KEY" } }]
    body = "json"
    template = '{"lead": $flow.key.leadid, "amount": $flow.key.amount, "status": "$sms.deliveryStatus", "call": "$flow.key.obdReqID"}'"#;

#[test]
fn a_preview_shows_the_request_that_would_be_sent() {
    let predefined = "url = \"{url}/plain\"";
    let text = default_webhook(28, LEAD) + &default_webhook(29, predefined);
    let stage = stage("definitions-preview", &text);
    let flow = record(&stage, "u-1", 28, &KEYS).value.expect("a record");
    let flow = file(&stage, "flow.json", &flow);
    let report = report("u-1", "s-1", "FAILED").to_string();
    let report = file(&stage, "report.json", report.as_bytes());
    let preview = |name: &str, more: &[&str]| {
        let done = stage.command(&[&["webhook", "preview", name, "--flow", &flow], more].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(done.err, "");
        done.out
    };
    let url = stage.receiver.url("/leads/L-42?v=2");
    assert_eq!(
        preview("of-28", &[]),
        format!(
            "PUT {url}\nx-vip: true\nx-api-key: ***\n\n{{\"lead\":\"L-42\",\"amount\":0.10}}\n"
        )
    );
    let more = ["--report", &report, "--set", "$flow.key.obdReqID=17 & 4"];
    let body = r#"{"lead":"L-42","amount":0.10,"status":"FAILED","call":"17 & 4"}"#;
    assert_eq!(
        preview("of-28", &more),
        format!("PUT {url}&call=17+%26+4\nx-vip: true\nx-api-key: ***\n\n{body}\n")
    );
    let shown: Value =
        serde_json::from_str(&preview("of-28", &[&more[..], &["--json"]].concat())).expect("JSON");
    let wanted = json!({
        "webhook": "of-28",
        "method": "PUT",
        "url": format!("{url}&call=17+%26+4"),
        "headers": [{"name": "x-vip", "value": "true"}, {"name": "x-api-key", "value": "***"}],
        "content": "json",
        "body": body,
    });
    assert_eq!(shown, wanted);
    // Without a template, the body is the predefined body of the phase.
    let plain = preview("of-29", &[]);
    let url = stage.receiver.url("/plain");
    assert!(plain.starts_with(&format!("POST {url}\n\n{{\"callDetails\":[")), "{plain}");
    let plain = preview("of-29", &["--report", &report]);
    assert!(plain.contains(r#"{"phonon-uuid":"u-1","smsDetails":[{"#), "{plain}");
    assert_eq!(stage.receiver.count(), 0, "nothing is sent");
}

#[test]
fn a_preview_says_why_there_is_no_request() {
    let gone = r#"url = "{url}/leads/$flow.key.nobody"
        query = [{ name = "n", value = "$flow.key.none", mandatory = true }]
        body = "json"
        template = '{"gone": $flow.key.gone}'
        mandatory = ["$flow.key.gone"]"#;
    let stage = stage("definitions-no-preview", &default_webhook(28, gone));
    let flow = record(&stage, "u-1", 28, &KEYS).value.expect("a record");
    let flow = file(&stage, "flow.json", &flow);
    let bad = file(&stage, "bad.json", b"{\"phononUuid\": }");
    let done = stage.command(&["webhook", "preview", "of-28", "--flow", &flow]);
    assert_eq!((done.code, done.out.as_str()), (Some(1), ""), "{done:?}");
    for wanted in [
        "webhook of-28: ",
        "no value for `$flow.key.gone` in the body (line 1, column 10)",
        "`$flow.key.nobody` in the URL (line 1, ",
        "`$flow.key.none` in the query entry `n` (line 1, column 1)",
    ] {
        assert!(done.err.contains(wanted), "{wanted}: {done:?}");
    }
    let done = stage.command(&["webhook", "preview", "of-28", "--flow", &bad]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("bad.json: "), "{done:?}");
    let flow = flow.as_str();
    for (arguments, wanted) in [
        (["of-28", "--flow", "/nowhere/flow.json"], "/nowhere/flow.json can't be read"),
        (["of-27", "--flow", flow], "did you mean `of-28`?"),
    ] {
        let done = stage.command(&[&["webhook", "preview"], &arguments[..]].concat());
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.err.contains(wanted), "{wanted}: {done:?}");
    }
    let set = ["webhook", "preview", "of-28", "--flow", flow, "--set", "obdReqID=1"];
    assert_eq!(stage.command(&set).code, Some(2));
}

/// Many test endpoints echo the request.
#[test]
fn a_test_message_shows_no_secret_of_the_definition() {
    let secret = r#"url = "{url}/hooks"
        headers = [{ name = "X-Api-Key", value = { env = "CRM_KEY" } }]
        query = [{ name = "key", value = { env = "CRM_KEY" } }]"#;
    let stage = stage("definitions-test-message", &default_webhook(28, secret));
    stage.receiver.script(|request, _| {
        let echo = json!({"path": request.path, "headers": request.headers});
        Answer::status(200).body(&echo.to_string())
    });
    for more in [&[][..], &["--json"]] {
        let done = stage.command(&[&["webhook", "test", "of-28"], more].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(!done.out.contains(KEY) && !done.err.contains(KEY), "{done:?}");
    }
    for request in stage.receiver.requests() {
        assert_eq!(request.path, format!("/hooks?key={KEY}"));
        assert_eq!(request.header("x-api-key"), KEY);
    }
}

/// An accounts file with many faults.
const BROKEN: &str = r#"
[[account]]
id = 50

[[webhook]]
name = "good"
account = 28
url = "https://a.example/"

[[webhook]]
name = "quiet"
account = 50
url = "https://a.example/"

[[webhook]]
name = "token"
account = 28
url = "https://a.example/"
body = "json"
template = '{"x": "%anni%", "y": $flow.kee.y}'

[[webhook]]
name = "json"
account = 28
url = "https://a.example/"
body = "json"
template = """
{"a": 1,
 "b": oops}"""

[[webhook]]
name = "xml"
account = 28
url = "https://a.example/"
body = "xml"
template = '<a>$flow.key.x</b>'

[[webhook]]
name = "internal"
account = 28
url = "https://a.example/"
body = "internal"
method_name = "createOutbond"
values = { "$flow.key.x" = { env = "NOT_SET_ANYWHERE" } }

[[webhook]]
name = "headers"
account = 28
url = "https://a.example/$flow.key.leadid"
headers = [{ name = "Authorization", value = "x" }, { name = "X Lead", value = "x" }]

[[webhook]]
name = "unused"
account = 28
url = "https://a.example/"
mandatory = ["$flow.key.nothing"]

[[webhook]]
name = "host"
account = 28
url = "https://$flow.key.host/"

[[rule]]
account = 28
on = ["flow_complete"]
webhook = "goood"

[[rule]]
account = 50
on = ["flow_complete", "sms:FAILED"] # nobody reads reports
webhook = "quiet"

[[rule]]
account = 28
on = ["sms_failed"]
webhook = "good"

[[rule]]
account = 28
on = ["flow_started"]
webhook = "good"

[[rule]]
account = 28
on = ["flow_complete"]
webhook = "good"
when = [{ variable = "$flow.key.both", equals = "x", present = true }, { variable = "flow.key.x", present = true }]
"#;

/// Beginnings of lines of [`BROKEN`], each with the message for the line.
const FAULTS: [(&str, &str); 15] = [
    (
        "template = '{\"x\"",
        "webhook[token].template: the token `%anni%` does not exist (line 1, column 8); did you mean `%ani%`?",
    ),
    (
        "template = '{\"x\"",
        "webhook[token].template: `$flow.kee.y` is not a variable (line 1, column 22); did you mean `$flow.key.y`?",
    ),
    (
        "template = \"\"\"",
        "webhook[json].template: `o` is not expected here (line 2, column 7); expected a value",
    ),
    ("template = '<a>", "webhook[xml].template: expected 'a' tag, not 'b' (line 1, column "),
    (
        "values",
        "webhook[internal].values.$flow.key.x: the environment variable `NOT_SET_ANYWHERE` is not set",
    ),
    (
        "headers",
        "webhook[headers].headers[Authorization].name: `authorization` is written by the daemon itself; write it as `auth`",
    ),
    (
        "headers",
        "webhook[headers].headers[X Lead]: a header's name cannot hold ` ` (line 1, column 2)",
    ),
    (
        "mandatory",
        "webhook[unused].mandatory: $flow.key.nothing is used neither in the URL nor in the body; remove it",
    ),
    (
        "url = \"https://$flow",
        "webhook[host].url: bad template of URL: a variable is not allowed in the host (line 1, column 9)",
    ),
    ("webhook = \"goood\"", "rule[#1].webhook: account 28 has no webhook `goood`; write `good`"),
    (
        "on = [\"flow_complete\", \"sms:FAILED\"]",
        "rule[#2].on: account 50 ignores delivery reports, so this never happens; set \"account.sms.notifyOnDelivery\"",
    ),
    (
        "on = [\"sms_failed\"]",
        "rule[#3].on[#1]: is not an event that can trigger a rule; write flow_started, ",
    ),
    ("on = [\"flow_started\"]", "rule[#4].on: no input topic for call begin records is configured"),
    ("when", "rule[#5].when[#1]: needs exactly one test of its variable; write one of equals"),
    ("when", "rule[#5].when[#2].variable: `flow.key.x` is not a variable; write $flow.key.<name>"),
];

#[test]
fn check_reports_every_fault_with_its_line() {
    let stage = stage("definitions-check", BROKEN);
    let path = stage.instance_dir(0).join("definitions.toml");
    let text = std::fs::read_to_string(&path).expect("the accounts file");
    let done = stage.command(&["check"]);
    assert_eq!(done.code, Some(EX_CONFIG), "{done:?}");
    for (beginning, fault) in FAULTS {
        let line = text.lines().position(|line| line.starts_with(beginning)).expect("it is there");
        let wanted = format!("{}:{}: {fault}", path.display(), line + 1);
        let found = done.err.lines().any(|line| line.starts_with(&wanted));
        assert!(found, "{wanted}: {}", done.err);
    }
    assert_eq!(done.err.lines().count(), FAULTS.len(), "{}", done.err);
    // A daemon reports the same and does not start.
    let said = stage.refused();
    // Lines of its log are JSON, in which quotes are escaped.
    let spelt =
        |fault: &str| serde_json::Value::from(fault).to_string().trim_matches('"').to_owned();
    assert!(FAULTS.iter().all(|(_, fault)| said.contains(&spelt(fault))), "{said}");
}
