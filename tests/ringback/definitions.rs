//! Webhooks that customers define themselves: URL, query, headers and body, checked at a real receiver.

mod commands;
mod functions;
mod hostile;
mod manual;
mod platform;
mod signatures;
mod templates;

use crate::harness::check::Scene;
use crate::harness::kafka::{Message, Record};
use crate::harness::receiver::{Answer, Received};
use crate::harness::samples::{flow, with};
use crate::harness::stage::Stage;
use crate::harness::{PATIENCE, wait_until};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// The customer's leg of every flow in these tests.
const LEG: &str = r#"{"calleeNumber":"919879072567","calleeType":"VISITOR"}"#;
/// The flow's keys, each with the JSON text of its value.
const KEYS: [(&str, &str); 4] = [
    ("leadid", r#""L-42""#),
    ("amount", "0.10"),
    ("vip", "true"),
    ("name", r#""Ada \"Q\" <&>\n""#),
];
/// The account whose webhook shows that a reload is done.
const PROBE: i64 = 99;

/// Creates a stage with the accounts 28 to 36, all with every setting enabled, and the webhooks that `text` defines.
/// `{url}` in `text` is the receiver's URL.
pub(crate) fn stage(name: &str, text: &str) -> Stage {
    let mut stage = Stage::new(name);
    let file = define(&stage, text);
    stage.set("accounts.file", file);
    stage
}

/// Rewrites the accounts file and returns its path. The stage's own file has neither rules nor comments.
fn define(stage: &Stage, text: &str) -> String {
    let account = |id: i64| {
        format!(
            "[[account]]\nid = {id}\nhttp_enabled = true\n\"account.sms.notifyOnDelivery\" = true\n\
             \"account.sms.notifyOnDelivery.attachflowkeys\" = true\n"
        )
    };
    let accounts: String = (28..=36).chain([PROBE]).map(account).collect();
    let dir = stage.instance_dir(0);
    std::fs::create_dir_all(&dir).expect("a directory for the instance");
    let file = dir.join("definitions.toml");
    let text = text.replace("{url}", &stage.receiver.url(""));
    std::fs::write(&file, accounts + &text).expect("an accounts file");
    file.to_str().expect("a plain path").to_owned()
}

/// Returns the definition of the webhook `name` of account 28, at its own path of the receiver. The webhook `crm` is the
/// default one.
pub(crate) fn webhook(name: &str, definition: &str) -> String {
    let default = name == "crm";
    format!(
        "[[webhook]]\nname = \"{name}\"\naccount = 28\ndefault = {default}\nurl = \"{{url}}/{name}\"\n\
         {definition}\n"
    )
}

/// Returns a rule of account 28 that sends the webhook `to` upon these triggers.
pub(crate) fn rule(on: &[&str], to: &str, definition: &str) -> String {
    format!("[[rule]]\naccount = 28\non = {on:?}\nwebhook = \"{to}\"\n{definition}\n")
}

/// Returns the definition of an account's default webhook.
fn default_webhook(account: i64, definition: &str) -> String {
    format!(
        "[[webhook]]\nname = \"of-{account}\"\naccount = {account}\ndefault = true\n{definition}\n"
    )
}

/// Returns a flow record of `account` with these keys, each with the JSON text of its value.
fn record(stage: &Stage, uuid: &str, account: i64, keys: &[(&str, &str)]) -> Record {
    let keys = spelt(keys);
    let text = format!(
        r#"{{"phononUuid":"{uuid}","accountID":{account},"flowId":200,"webhookEnabled":true,"sms":[],"callDetails":[{LEG}],"keys":{keys}}}"#
    );
    Record { key: Some(uuid.into()), ..stage.raw("flow-complete", text) }
}

fn spelt(keys: &[(&str, &str)]) -> String {
    let key =
        |(name, json): &(&str, &str)| format!(r#"{{"name":"$flow.key.{name}","value":{json}}}"#);
    format!("[{}]", keys.iter().map(key).collect::<Vec<_>>().join(","))
}

/// Reloads the daemon with the definitions `text`. A flow to a new webhook shows when the reload is done.
fn reload(scene: &Scene<'_>, text: &str) {
    let probe = default_webhook(PROBE, "url = \"{url}/probe\"");
    define(scene.stage, &format!("{text}{probe}"));
    scene.daemon.signal("HUP");
    let mut number = 0;
    wait_until("the new definitions count", PATIENCE, || {
        number += 1;
        scene.flows(&[with(flow(&format!("probe-{number}"), &[]), "accountID", json!(PROBE))]);
        let requests = scene.stage.receiver.requests();
        requests.iter().any(|request| request.path == "/probe").then_some(())
    });
}

/// Waits for the event `kind` of `uuid`, and returns it.
fn wait_event(stage: &Stage, kind: &str, uuid: &str) -> Value {
    let is = |event: &Value| event["type"] == *kind && event["phonon_uuid"] == *uuid;
    let mut tail = stage.events();
    let seen = tail.wait(&format!("{kind} of {uuid}"), PATIENCE, |events| {
        events.iter().any(|event| is(&event.json()))
    });
    seen.iter().map(Message::json).find(|event| is(event)).expect("it was waited for")
}

/// Returns the only request to `path`.
#[track_caller]
fn to<'a>(requests: &'a [Received], path: &str) -> &'a Received {
    let found: Vec<_> = requests.iter().filter(|request| request.path == path).collect();
    let [request] = found.as_slice() else { panic!("{path}: {requests:?}") };
    request
}

#[test]
fn each_kind_of_body_arrives_as_it_was_defined() {
    let json = r#"template = '{"lead": $flow.key.leadid, "amount": $flow.key.amount, "vip": $flow.key.vip,
        "name": "$flow.key.name", "text": "<$flow.key.leadid>: $flow.key.amount %%", "gone": "$flow.key.gone", "from": "%ani%"}'"#;
    let json = json.replace('\n', " ");
    let xml = r#"template = '<lead id="$flow.key.leadid" gone="$flow.key.gone"><name>$flow.key.name</name><vip>$flow.key.vip</vip><gone>$flow.key.gone</gone></lead>'"#;
    let form = "template = 'lead=$flow.key.leadid&name=$flow.key.name&gone=$flow.key.gone&fixed=a b&sum=%25 $flow.key.amount'";
    let (as_json, as_xml, as_form) =
        ("application/json", "application/xml", "application/x-www-form-urlencoded");
    let predefined =
        format!(r#"{{"callDetails":[{LEG}],"keys":{},"phonon-uuid":"u-28"}}"#, spelt(&KEYS));
    let cases = [
        (28, "POST", "predefined", "", as_json, predefined.as_str()),
        (
            29,
            "PUT",
            "json",
            json.as_str(),
            as_json,
            r#"{"lead":"L-42","amount":0.10,"vip":true,"name":"Ada \"Q\" <&>\n","text":"<L-42>: 0.10 %%","from":"919879072567"}"#,
        ),
        (30, "OPTIONS", "json", "template_file = 'bare.json'", as_json, "0.10"),
        (
            31,
            "PATCH",
            "xml",
            xml,
            as_xml,
            "<lead id=\"L-42\"><name>Ada \"Q\" &lt;&amp;&gt;\n</name><vip>true</vip></lead>",
        ),
        (
            32,
            "POST",
            "form",
            form,
            as_form,
            "lead=L-42&name=Ada+%22Q%22+%3C%26%3E%0A&fixed=a+b&sum=%25+0.10",
        ),
        (33, "DELETE", "none", "", "", ""),
        (34, "GET", "none", "", "", ""),
        (35, "HEAD", "none", "", "", ""),
    ];
    let text = cases.iter().map(|(account, method, body, template, _, _)| {
        let url = format!("url = \"{{url}}/{account}\"");
        default_webhook(
            *account,
            &format!("{url}\nmethod = \"{method}\"\nbody = \"{body}\"\n{template}"),
        )
    });
    let stage = stage("definitions-bodies", &text.collect::<String>());
    std::fs::write(stage.instance_dir(0).join("bare.json"), " $flow.key.amount\n").expect("a file");
    let mut scene = Scene::open(&stage);
    let records = cases.iter().map(|case| record(&stage, &format!("u-{}", case.0), case.0, &KEYS));
    stage.kafka.produce(&records.collect::<Vec<_>>());
    scene.wait_for("correlation_ended", cases.len());
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    assert_eq!(requests.len(), cases.len(), "{requests:?}");
    for (account, method, _, _, content_type, body) in cases {
        let request = to(&requests, &format!("/{account}"));
        assert_eq!((request.method.as_str(), request.text()), (method, body));
        assert_eq!(request.header("content-type"), content_type, "{request:?}");
        assert_eq!(request.headers.contains_key("content-type"), !content_type.is_empty());
        assert!(request.id().starts_with("msg_"), "{request:?}");
    }
    stage.verify();
}

#[test]
fn optional_parts_are_left_out_of_url_and_headers_and_no_output_shows_a_secret() {
    const SECRET: &str = "hunter2-of-the-crm";
    let full = r#"url = "{url}/leads/$flow.key.leadid/$flow.key.area?from=%ani%&gone=$flow.key.gone&v=2"
        optional = ["$flow.key.area"]
        query = [
            { name = "caller", value = "$call.calleeNumber", mandatory = true },
            { name = "gone", value = "x $flow.key.gone" },
            { name = "sum", value = "100%+ $flow.key.amount" },
        ]
        headers = [
            { name = "X-Lead", value = "id $flow.key.leadid", mandatory = true },
            { name = "X-Gone", value = "$flow.key.gone" },
            { name = "X-Api-Key", value = { env = "CRM_KEY" } },
            { name = "Content-Type", value = "application/vnd.crm+json" },
        ]"#;
    let bare = r#"url = "{url}/bare?gone=$flow.key.gone"
        query = [{ name = "gone", value = "$flow.key.gone" }]"#;
    let text = default_webhook(28, full) + &default_webhook(29, bare);
    let mut stage = stage("definitions-optional", &text);
    stage.set_variable("CRM_KEY", SECRET);
    // A refused delivery becomes a dead letter, which contains the request.
    stage.receiver.statuses(&[400]);
    let mut scene = Scene::open(&stage);
    let keys = [("leadid", r#""L 4/2""#), ("amount", "0.10")];
    let records = [(28, "u-full"), (29, "u-bare")]
        .map(|(account, uuid)| record(&stage, uuid, account, &keys));
    stage.kafka.produce(&records);
    let letters = stage.dead_letters(2, PATIENCE);
    scene.wait_for("correlation_ended", 2);
    scene.daemon.stop();

    let requests = stage.receiver.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    let url = "/leads/L%204%2F2/?from=919879072567&v=2&caller=919879072567&sum=100%25%2B+0.10";
    let request = to(&requests, url);
    assert_eq!(request.header("x-lead"), "id L 4/2");
    assert_eq!(request.header("x-api-key"), SECRET);
    assert_eq!(request.header("content-type"), "application/vnd.crm+json");
    assert!(!to(&requests, "/bare").headers.contains_key("x-gone"));
    assert!(!request.headers.contains_key("x-gone"), "{request:?}");

    let letter = letters.iter().map(Message::json).find(|letter| letter["webhook"] == "of-28");
    let shown = letter.expect("it was refused")["request"].clone();
    assert_eq!(shown["url"], stage.receiver.url(url), "{shown}");
    assert_eq!(shown["headers"]["x-lead"], "id L 4/2", "{shown}");
    assert_eq!(shown["headers"]["x-api-key"], "***", "{shown}");

    let file = stage.instance_dir(0).join("flow.json");
    let flow = record(&stage, "u-shown", 28, &keys).value.expect("a record");
    std::fs::write(&file, flow).expect("a file");
    let file = file.to_str().expect("a plain path");
    let mut texts = vec![scene.daemon.logged()];
    for more in [&[][..], &["--json"]] {
        let arguments = ["webhook", "preview", "of-28", "--flow", file];
        let done = stage.command(&[&arguments[..], more].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.out.contains("***") && done.out.contains("id L 4/2"), "{done:?}");
        texts.extend([done.out, done.err]);
    }
    for kind in ["events", "dead-letter", "changelog"] {
        let messages = stage.kafka.read(&stage.topic(kind));
        texts.extend(messages.iter().map(|message| {
            let value = message.value.as_deref().unwrap_or_default();
            format!("{:?} {}", message.headers, String::from_utf8_lossy(value))
        }));
    }
    assert!(texts.iter().all(|text| !text.contains(SECRET)), "{texts:#?}");
    stage.verify();
}

/// The definition is at fault. The facts are therefore kept, so that a corrected definition can render them.
#[test]
fn without_a_mandatory_value_nothing_is_sent_until_the_definition_is_corrected() {
    let definitions = [
        (28, "the URL", r#"url = "{url}/28/$flow.key.gone""#),
        (
            29,
            "the header `X-Lead`",
            r#"url = "{url}/29"
            headers = [{ name = "X-Lead", value = "$flow.key.gone", mandatory = true }]"#,
        ),
        (
            30,
            "the query entry `lead`",
            r#"url = "{url}/30"
            query = [{ name = "lead", value = "$flow.key.gone", mandatory = true }]"#,
        ),
        (
            31,
            "the body",
            r#"url = "{url}/31"
            body = "json"
            template = '{"lead": "$flow.key.gone"}'
            mandatory = ["$flow.key.gone"]"#,
        ),
    ];
    let text: String =
        definitions.iter().map(|(account, _, text)| default_webhook(*account, text)).collect();
    let stage = stage("definitions-mandatory", &text);
    let mut scene = Scene::open(&stage);
    let records =
        definitions.map(|(account, _, _)| record(&stage, &format!("u-{account}"), account, &KEYS));
    stage.kafka.produce(&records);
    scene.wait_for("dead_lettered:invalid_flow_var", 4);
    scene.wait_for("correlation_ended", 4);
    for message in stage.dead_letters(4, PATIENCE) {
        let letter = message.json();
        assert_eq!(message.header("ringback.reason"), "invalid_flow_var");
        assert_eq!((&letter["attempts"], &letter["first_attempt_at"]), (&json!(0), &Value::Null));
        let outcome = &letter["last_outcome"];
        assert_eq!(outcome["error_reason"], "INVALID_FLOW_VAR", "{letter}");
        let place = definitions.iter().find(|(account, _, _)| letter["account_id"] == *account);
        let wanted = format!("no value for `$flow.key.gone` in {}", place.expect("ours").1);
        let error = outcome["error_detail"].as_str().expect("a text");
        assert!(error.starts_with(&wanted), "{wanted}: {error}");
        let keys: Value = serde_json::from_str(&spelt(&KEYS)).expect("JSON");
        assert_eq!(letter["facts"]["record"]["keys"], keys, "{letter}");
    }
    assert_eq!(stage.receiver.count(), 0, "nothing was sent");

    reload(&scene, &text.replace("$flow.key.gone", "$flow.key.leadid"));
    let replay = ["dead-letter", "replay", "--yes", "--json"];
    let done = stage.command(&[&replay[..], &["--reason", "invalid_flow_var"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    let summary: Value = serde_json::from_str(&done.out).expect("a summary");
    assert_eq!(summary["replayed"], 4, "{summary}");
    for (account, _, _) in definitions {
        let delivered = wait_event(&stage, "delivered", &format!("u-{account}"));
        assert_eq!((&delivered["attempts"], &delivered["phase"]), (&json!(1), &json!(1)));
    }
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    assert_eq!(to(&requests, "/28/L-42").uuid(), "u-28");
    assert_eq!(to(&requests, "/29").header("x-lead"), "L-42");
    assert_eq!(to(&requests, "/30?lead=L-42").uuid(), "u-30");
    assert_eq!(to(&requests, "/31").text(), r#"{"lead":"L-42"}"#);
    stage.verify();
}

/// A rendered body stays as it is. URL and headers come from the file as it is at the time of the attempt.
#[test]
fn a_new_definition_changes_the_bodies_of_new_deliveries_only() {
    let old = r#"url = "{url}/hooks"
        body = "json"
        template = '{"old": "$flow.key.leadid"}'"#;
    let new = r#"url = "{url}/hooks"
        body = "xml"
        template = '<new>$flow.key.leadid</new>'
        headers = [{ name = "X-New", value = "yes" }]"#;
    let mut stage = stage("definitions-changed", &default_webhook(28, old));
    stage.set("delivery.attempts_max", 10_000);
    let status = Arc::new(AtomicU16::new(503));
    let switch = Arc::clone(&status);
    stage.receiver.script(move |request, _| {
        Answer::status(if request.path == "/probe" { 200 } else { switch.load(Ordering::SeqCst) })
    });
    let mut scene = Scene::open(&stage);
    stage.kafka.produce(&[record(&stage, "u-before", 28, &KEYS)]);
    scene.wait_for("attempt_failed", 1);
    reload(&scene, &default_webhook(28, new));
    stage.kafka.produce(&[record(&stage, "u-after", 28, &KEYS)]);
    wait_event(&stage, "attempt_failed", "u-after");
    status.store(200, Ordering::SeqCst);
    let ids = ["u-before", "u-after"].map(|uuid| {
        let delivered = wait_event(&stage, "delivered", uuid);
        delivered["webhook_id"].as_str().expect("an id").to_owned()
    });
    scene.daemon.stop();
    let by_id = stage.receiver.by_id();
    let wanted =
        [(r#"{"old":"L-42"}"#, "application/json"), ("<new>L-42</new>", "application/xml")];
    for (id, (body, content_type)) in ids.iter().zip(wanted) {
        let requests = &by_id[id];
        assert!(requests.len() > 1, "{requests:?}");
        for request in requests {
            assert_eq!((request.text(), request.header("content-type")), (body, content_type));
        }
        assert_eq!(requests.last().map(|request| request.header("x-new")), Some("yes"));
    }
    stage.verify();
}
