//! Loads each example of a definition, and checks that it renders the documented request for the sample records.

use super::{Variables, load_with};
use crate::codec::source::{Decoded, Decoder};
use crate::config::Accounts;
use crate::domain::{Definitions as _, Facts, Mapped, RecordKind, Rendered, WebhookName};
use bytes::Bytes;
use std::path::Path;

fn example(name: &str) -> String {
    let path = format!("{}/config/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn loaded(name: &str) -> Accounts {
    let folder = super::Folder::new("", &example(name));
    let secrets = [
        ("CRM_TOKEN", "t"),
        ("CRM_KEY", "hush"),
        ("CRM_SIGNING_SECRET", super::WHSEC),
        ("PLATFORM_SECURITY_ID", "hush"),
    ];
    let variables: Variables =
        secrets.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let loaded = load_with(&folder.path("ringback.toml"), &variables);
    loaded.unwrap_or_else(|faults| panic!("{name}: {faults}")).1
}

/// Decodes the sample records to the predefined body and the facts.
fn sample(given: &[(&str, &str)]) -> (Bytes, Facts) {
    let mut decoder = Decoder::new(false);
    let flow = decoder.decode(RecordKind::Flow, example("flow-complete.json").as_bytes());
    let report = decoder.decode(RecordKind::Report, example("sms-delivery-report.json").as_bytes());
    let (Decoded::Flow(flow), Decoded::Report(report)) = (flow, report) else { panic!() };
    let mapped = given
        .iter()
        .map(|(save_in, value)| Mapped { save_in: (*save_in).into(), value: (*value).into() });
    let facts =
        Facts { record: Some(flow.record), reports: vec![report.body], mapped: mapped.collect() };
    (flow.body, facts)
}

/// Renders the body of `webhook`. Returns it with its content type and the request as it may be shown.
fn rendered(
    accounts: &Accounts,
    webhook: &str,
    given: &[(&str, &str)],
) -> (String, String, String) {
    let name = WebhookName::new(webhook).unwrap();
    let (body, facts) = sample(given);
    let (body, rendered) = if accounts.definitions.is_rendered(&name) {
        accounts.definitions.read(&facts).render(&name, &body).unwrap()
    } else {
        let json = Some("application/json".into());
        (body, Rendered { content_type: json, values: Bytes::from_static(b"{}") })
    };
    let (webhook, _) = &accounts.webhooks[&name];
    let mut shown = vec![format!("{} {}", webhook.method, webhook.shown_url())];
    if let Some(parts) = webhook.shown_parts(Some(&rendered)) {
        shown = vec![format!("{} {}", webhook.method, parts.url)];
        let headers = parts.headers.iter();
        shown.extend(headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())));
    }
    let content_type = rendered.content_type.unwrap_or_default().into_owned();
    (String::from_utf8(body.to_vec()).unwrap(), content_type, shown.join("\n"))
}

#[test]
fn json() {
    let (body, kind, request) = rendered(&loaded("json.toml"), "crm-lead", &[]);
    assert_eq!(
        body,
        r#"{"uuid":"bd706f90-aa14-47ea-9844-3d1e1123f4ee","phone":"+919879072567","spoken":true,"started":"2023-10-19T11:54:21.952+05:30","sms":{"status":"DELIVERED","cost":0.75,"text":"फोनन में आपका स्वागत है $flow.key.sms. Phonon"}}"#
    );
    assert_eq!(kind, "application/json");
    assert_eq!(
        request,
        "POST https://crm.example.com/api/flows/200/leads?source=template&caller=919879072567\nx-api-key: ***"
    );
}

#[test]
fn xml() {
    let (body, kind, request) =
        rendered(&loaded("xml.toml"), "ledger", &[("$flow.key.note", "\"a ]]> b\"")]);
    let root = roxmltree::Document::parse(&body).unwrap();
    let note = root.descendants().find(|node| node.has_tag_name("note")).unwrap();
    assert_eq!(note.text(), Some("a ]]> b"));
    assert_eq!(root.root_element().attribute("kind"), Some("template"));
    assert_eq!((&*kind, &*request), ("application/xml", "PUT https://ledger.example.com/calls"));
}

#[test]
fn form() {
    let (body, kind, _) = rendered(&loaded("form.toml"), "form", &[]);
    assert_eq!(
        body,
        "uuid=bd706f90-aa14-47ea-9844-3d1e1123f4ee&phone=%2B919879072567&kind=template"
    );
    assert_eq!(kind, "application/x-www-form-urlencoded");
}

#[test]
fn none() {
    let (body, kind, request) = rendered(&loaded("none.toml"), "pixel", &[]);
    assert_eq!((&*body, &*kind), ("", ""));
    assert_eq!(
        request,
        "GET https://pixel.example.com/28/bd706f90-aa14-47ea-9844-3d1e1123f4ee.gif?n=919879072567"
    );
}

#[test]
fn call_tracking() {
    let tags = [("$flow.key.tags", r#""{\"Region\": \"south\"}""#)];
    let (body, _, request) = rendered(&loaded("call-tracking.toml"), "tracking", &tags);
    assert_eq!(
        body,
        r#"{"session":"bd706f90-aa14-47ea-9844-3d1e1123f4ee","from":"912243690284","start":"2023-10-19T06:24:21.952Z","end":"2023-10-19T06:24:44.851Z","kind":"template","tags":{"Region":"south"},"note":"100 % of 919879072567"}"#
    );
    assert_eq!(
        request,
        "POST https://tracking.example.com/calls?callid=f1ca3a63-7eb7-4a8d-b50c-fbbdd3807034%23%23pbx-9&ani=919879072567"
    );
}

#[test]
fn short_url() {
    let accounts = loaded("short-url.toml");
    let (body, ..) = rendered(&accounts, "shortURL", &[]);
    assert_eq!(
        body,
        r#"{"custToken":"bd706f90-aa14-47ea-9844-3d1e1123f4ee","longUrl":"https://shop.example.com/?u=template"}"#
    );
    let given = [("$flow.key.shortUrl", "\"https://s.example.com/1\"")];
    let (body, ..) = rendered(&accounts, "note", &given);
    assert_eq!(
        body,
        r#"{"uuid":"bd706f90-aa14-47ea-9844-3d1e1123f4ee","link":"https://s.example.com/1"}"#
    );
}

#[test]
fn internal() {
    let accounts = loaded("internal.toml");
    assert!(!accounts.definitions.is_rendered(&WebhookName::new("phonon").unwrap()));
    let (body, ..) = rendered(&accounts, "call-back", &[("$flow.key.lang", "\"en\"")]);
    assert_eq!(
        body,
        r#"{"method":"createOutbound","keys":[{"name":"$flow.syskey.securityID","value":"***secret***"},{"name":"$flow.syskey.apiVersion","value":"2"},{"name":"$flow.syskey.clientID","value":"123123123"},{"name":"$flow.syskey.contactNumbers","value":"919999999999"},{"name":"$flow.syskey.delayMinutes","value":"5"},{"name":"$flow.syskey.flowID","value":"201"},{"name":"$flow.key.isTTSUsed","value":true},{"name":"$flow.key.lang","value":"en"},{"name":"$flow.key.type","value":"template"}]}"#
    );
    let (body, ..) = rendered(&accounts, "tell", &[("$flow.key.obdReqID", "17")]);
    assert_eq!(
        body,
        r#"{"uuid":"bd706f90-aa14-47ea-9844-3d1e1123f4ee","request":17,"sms":"290a4138-5729-475f-95e1-9ff30f851d67"}"#
    );
}

#[test]
fn template() {
    let accounts = loaded("template.toml");
    let prompts = r#"[{"question":"one","response":"1"},{"question":"two","response":"2"}]"#;
    let given = [("$flow.key.prompt_responses", prompts), ("$flow.key.customer-name", "\"Ada\"")];
    for (webhook, location) in [("sales", "Los Angeles"), ("service", "Springwood")] {
        let (body, kind, _) = rendered(&accounts, webhook, &given);
        assert_eq!(
            body,
            format!(
                r#"{{"customer":"Ada","location":"{location}","start":"2023-10-19T06:24:21.952Z","seconds":22,"result":"ANSWER","prompts":[{{"question":"one","answer":"1"}},{{"question":"two","answer":"2"}}]}}"#
            )
        );
        assert_eq!(kind, "application/json");
    }
}

#[test]
fn every_example_is_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let mut files: Vec<String> = files.map(|name| name.into_string().unwrap()).collect();
    files.retain(|name| name.ends_with(".toml"));
    files.sort();
    let shown =
        ["call-tracking", "form", "internal", "json", "none", "short-url", "template", "xml"];
    assert_eq!(files, shown.map(|name| format!("{name}.toml")));
}
