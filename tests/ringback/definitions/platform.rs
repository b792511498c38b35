//! Smaller promises of the manuals: statuses that are tried again, notes, the platform's own words, and multipart forms.

use super::commands::{self, file};
use super::{default_webhook, record, stage, to};
use crate::harness::PATIENCE;
use crate::harness::check::Scene;
use crate::harness::receiver::{Answer, Received};
use serde_json::Value;

#[test]
fn statuses_that_a_webhook_lists_are_tried_again() {
    let text = default_webhook(28, "url = \"{url}/28\"\nretry = { statuses = [404, 409, 410] }")
        + &default_webhook(29, "url = \"{url}/29\"");
    let stage = stage("platform-statuses", &text);
    stage.receiver.statuses(&[404, 409, 410, 200]);
    let mut scene = Scene::open(&stage);
    stage.kafka.produce(&[28, 29].map(|id| record(&stage, &format!("u-{id}"), id, &[])));
    scene.wait_for("correlation_ended", 2);
    let delivered = scene.wait_for("delivered", 1);
    assert_eq!((&delivered[0]["webhook"], &delivered[0]["attempts"]), (&"of-28".into(), &4.into()));
    let dead = stage.dead_letters(1, PATIENCE).remove(0);
    assert_eq!(dead.header("ringback.webhook"), "of-29");
    assert_eq!(stage.receiver.count(), 5);
}

#[test]
fn notes_are_shown_to_people() {
    let note = "Asked for by Ada.\nCall her first.";
    let text =
        default_webhook(28, "url = \"{url}/28\"\nnotes = \"Asked for by Ada.\\nCall her first.\"");
    let stage = stage("platform-notes", &text);
    let scene = Scene::open(&stage);
    let done = stage.command(&["webhook", "list", "--json"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let shown: Value =
        serde_json::from_str(done.out.lines().next().expect("a line")).expect("JSON");
    assert_eq!(shown["notes"], note);
    let flow = record(&stage, "u-1", 28, &[]).value.expect("a record");
    let flow = file(&stage, "flow.json", &flow);
    let preview = |more: &[&str]| {
        let done =
            stage.command(&[&["webhook", "preview", "of-28", "--flow", &flow], more].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        done.out
    };
    assert!(preview(&[]).starts_with("# Asked for by Ada.\n# Call her first.\nPOST "));
    let shown: Value = serde_json::from_str(&preview(&["--json"])).expect("JSON");
    assert_eq!(shown["notes"], note);
    let (status, page) = scene.daemon.get("/api/v1/config").expect("an answer");
    assert!(status == 200 && page.contains("Call her first."), "{page}");
}

#[test]
fn the_platforms_own_words_and_names_are_understood() {
    let option = r#"url = "{url}/option"
        method = "OPTION"
        auth = { type = "Basic", username = "u", password = "p" }
        body = "form-data"
        template = "cli=$call.cli&number=$call.cli.number&start=$call.start&state=$call.state&agent=$call.agent.dnis.number""#;
    let stage = stage("platform-words", &default_webhook(28, option));
    let mut scene = Scene::open(&stage);
    let leg = r#"{"calleeType":"AGENT","calleeNumber":"17"},{"calleeType":"VISITOR","calleeNumber":"919","startTime":"10:00","hangupCause":"17"}"#;
    let flow = record(&stage, "u-1", 28, &[]);
    let text = String::from_utf8(flow.value.clone().expect("a record")).expect("text");
    let text = text.replace(super::LEG, leg);
    stage.kafka.produce(&[crate::harness::kafka::Record { value: Some(text.into()), ..flow }]);
    scene.wait_for("correlation_ended", 1);
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    let request = to(&requests, "/option");
    assert_eq!(request.method, "OPTIONS");
    assert_eq!(request.header("authorization"), "Basic dTpw");
    assert_eq!(request.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(request.text(), "cli=919&number=919&start=10%3A00&state=BUSY&agent=17");
}

/// Returns the fields of a form, as a receiver parses them.
fn fields(request: &Received) -> Vec<(String, String)> {
    let kind = request.header("content-type");
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a boundary");
    let text = request.text().strip_suffix(&format!("--{boundary}--\r\n")).expect("an end");
    let delimiter = format!("--{boundary}\r\n");
    let parts = text.split(&delimiter).skip(1);
    let field = |part: &str| {
        let (head, value) = part.split_once("\r\n\r\n").expect("a head");
        let name = head.strip_prefix("Content-Disposition: form-data; name=\"").expect("a name");
        let value = value.strip_suffix("\r\n").expect("an end");
        (name.strip_suffix('"').expect("a quote").to_owned(), value.to_owned())
    };
    parts.map(field).collect()
}

#[test]
fn a_multipart_form_is_the_same_in_every_attempt_and_replay() {
    let form = r#"url = "{url}/form"
        body = "multipart"
        template = "lead=$flow.key.leadid&full+name=$flow.key.name&gone=$flow.key.gone&fixed=a%26b""#;
    let stage = stage("platform-multipart", &default_webhook(28, form));
    stage.receiver.script(|_, nth| Answer::status([503, 404, 200][nth.min(3) - 1]));
    let mut scene = Scene::open(&stage);
    stage.kafka.produce(&[record(&stage, "u-28", 28, &super::KEYS)]);
    let dead = stage.dead_letters(1, PATIENCE).remove(0).json();
    assert!(dead["content"].as_str().expect("text").starts_with("multipart/form-data; "), "{dead}");
    let done = stage.command(&["dead-letter", "replay", "--yes"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    scene.wait_for("delivered", 1);
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        let kind = request.header("content-type");
        assert_eq!((&request.body, kind), (&requests[0].body, requests[0].header("content-type")));
        let wanted = [("lead", "L-42"), ("full name", "Ada \"Q\" <&>\n"), ("fixed", "a&b")];
        let wanted = wanted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(fields(request), wanted);
    }
}

const DOUBTFUL: &str = r#"
    [[account]]
    id = 28
    [[webhook]]
    name = "w"
    account = 28
    url = "https://a.example/"
    headers = [{ name = "X-Mine", value = "x" }]
    retry = { statuses = [503, 404] }
    signatures = [
      { header = "X-Mine", scheme = "hmac-sha256", secret = "s" },
      { header = "webhook-signature", scheme = "hmac-sha256", secret = "s" },
      { header = "X-A", scheme = "hmac-md5", secret = "s" },
      { header = "X-B", scheme = "hmac-sha256", content = "{bodi}", secret = "s" },
      { header = "X-C", scheme = "hmac-sha256", prefix = "{body}", secret = "s" },
      { header = "X-D", scheme = "hmac-sha256", content = "{timestamp}", secret = "" },
      { header = "X E", scheme = "hmac-sha256", secret = { env = "NOT_SET_ANYWHERE" } },
    ]
    success_codes = [200, 404]
"#;

#[test]
fn check_names_the_faults_of_signatures_and_statuses() {
    let stage = commands::stage("platform-check", "");
    let path = file(&stage, "definitions.toml", DOUBTFUL.as_bytes());
    let done = stage.command(&["check"]);
    assert_eq!(done.code, Some(78), "{done:?}");
    let lines: Vec<&str> =
        done.err.lines().filter_map(|line| line.strip_prefix(&format!("{path}:"))).collect();
    for wanted in [
        "webhook[w].signatures[#1].header: `x-mine` is among `headers` too; keep one of them",
        "webhook[w].signatures[#2].header: `webhook-signature` is written by the daemon itself; sign by `signing_secrets`",
        "webhook[w].signatures[#3].scheme: unknown word `hmac-md5`; write one of hmac-sha256, hmac-sha512, hmac-sha1",
        "webhook[w].signatures[#4].content: `{bodi}` is no placeholder; write {body}, {timestamp} or {id}",
        "webhook[w].signatures[#5].prefix: contains {body}, or a character that a header cannot carry; use printable ASCII, {timestamp} and {id}",
        "webhook[w].signatures[#6].secret: is empty; write the secret that the receiver has",
        "webhook[w].signatures[#7].header: is not a header's name; use letters, digits and hyphens, as in X-Signature-256",
        "webhook[w].signatures[#7].secret: the environment variable `NOT_SET_ANYWHERE` is not set; set it, or write { file = \"PATH\" }",
        "webhook[w].retry.statuses[#2]: 404 counts as delivered; remove it here or from `success_codes`",
    ] {
        assert!(lines.iter().any(|line| line.ends_with(wanted)), "{wanted}: {lines:#?}");
    }
    assert_eq!(lines.len(), 9, "{lines:#?}");
}
