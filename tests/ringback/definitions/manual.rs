//! What the platforms' manuals promise of templates: names with any characters, values and credentials with variables,
//! derived tokens, lists of prompts, and templates that webhooks share.

use super::{default_webhook, record, stage, to};
use crate::harness::check::Scene;
use crate::harness::kafka::Record;
use crate::harness::samples::report;
use crate::harness::stage::Stage;
use serde_json::json;

/// Returns a flow record of `account` with times, recordings and these keys.
fn whole(stage: &Stage, uuid: &str, account: i64, keys: &serde_json::Value) -> Record {
    let flow = json!({
        "phononUuid": uuid, "accountID": account, "flowId": 200, "webhookEnabled": true, "sms": [],
        "callDetails": [{
            "calleeNumber": "919879072567", "calleeType": "VISITOR", "hangupCause": "16",
            "startTime": "2023-10-19T11:54:21.952+05:30", "connectTime": "2023-10-19T11:54:28.889+05:30",
            "endTime": "2023-10-19T11:54:44.851+05:30",
        }],
        "recordingUrls": [
            {"recordedFileName": "a.wav", "recordedFilePublicPath": "https://r.example/a.wav"},
            {"recordedFileName": "a.mp3", "recordedFilePublicPath": "https://r.example/a.mp3"},
        ],
        "keys": keys,
    });
    Record { key: Some(uuid.into()), ..stage.raw("flow-complete", flow.to_string()) }
}

fn prompts() -> serde_json::Value {
    json!([
        {"name": "$flow.key.prompt_responses",
         "value": r#"[{"question": "one", "question_link": "https://r.example/1.wav", "response": "1"}, {"question": "two & <three>", "response": "2"}]"#},
        {"name": "$flow.key.tags", "value": r#"{"Region": "south"}"#},
    ])
}

#[test]
fn names_of_keys_may_have_any_characters() {
    let text = default_webhook(
        28,
        r#"url = "{url}/28/${flow.key.customer-name}?n=${flow.key.first name}"
        headers = [{ name = "X-Lead", value = "${flow.key.नाम}" }]
        body = "json"
        template = '{"a": "${flow.key.customer-name}", "b": ${flow.key.first name}, "c": "${flow.key.नाम}-${flow.key.none/such}"}'"#,
    );
    let stage = stage("manual-names", &text);
    let mut scene = Scene::open(&stage);
    let keys = [("customer-name", r#""Ada L""#), ("first name", "7"), ("नाम", r#""N""#)];
    stage.kafka.produce(&[record(&stage, "u-28", 28, &keys)]);
    scene.wait_for("correlation_ended", 1);
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    let request = to(&requests, "/28/Ada%20L?n=7");
    assert_eq!(request.header("x-lead"), "N");
    assert_eq!(request.text(), r#"{"a":"Ada L","b":7,"c":"N-"}"#);
    stage.verify();
}

#[test]
fn values_of_the_platforms_functions_and_credentials_contain_variables() {
    let call = r#"url = "{url}/call"
        body = "internal"
        method_name = "createOutbound"
        values = { "$flow.syskey.contactNumbers" = "$sms.to", "$flow.syskey.clientID" = "c-%ani%", "$flow.syskey.delayMinutes" = "$flow.key.delay", "$flow.syskey.flowID" = "$flow.key.none" }
        optional = ["$flow.syskey.apiVersion", "$flow.syskey.flowID", "$flow.syskey.securityID"]
        auth = { type = "basic", username = "$flow.key.type", password = "p-${flow.key.pass-word}" }"#;
    let text = format!(
        "{}[[webhook]]\nname = \"call\"\naccount = 28\n{call}\n[[rule]]\naccount = 28\non = [\"sms:FAILED\"]\nwebhook = \"call\"\n",
        default_webhook(28, "url = \"{url}/crm\"")
    );
    let stage = stage("manual-values", &text);
    let mut scene = Scene::open(&stage);
    let keys = [("type", r#""template""#), ("pass-word", r#""x""#), ("delay", "5")];
    let flow = record(&stage, "u-1", 28, &keys);
    let sent = String::from_utf8(flow.value.clone().expect("a record")).expect("text");
    let flow =
        Record { value: Some(sent.replace(r#""sms":[]"#, r#""sms":["s-1"]"#).into()), ..flow };
    stage.kafka.produce(&[flow]);
    scene.reports(&[report("u-1", "s-1", "FAILED")]);
    scene.wait_for("delivered", 3);
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    let request = to(&requests, "/call");
    assert_eq!(
        request.text(),
        concat!(
            r#"{"method":"createOutbound","keys":[{"name":"$flow.syskey.clientID","value":"c-919879072567"},"#,
            r#"{"name":"$flow.syskey.contactNumbers","value":"919999999999"},{"name":"$flow.syskey.delayMinutes","value":5}]}"#
        )
    );
    // `template:p-x`
    assert_eq!(request.header("authorization"), "Basic dGVtcGxhdGU6cC14");
    stage.verify();
}

#[test]
fn tokens_that_the_record_can_fill_have_values() {
    let json = r#"url = "{url}/28?from=%call_start_time%"
        body = "json"
        template = '{"dialed": %dialed_time%, "answered": %answered_time%, "status": "%dialstatus%", "mp3": "%rec_audiourl%", "wav": "%rec_audiowavurl%", "start": "%call_start_time%", "local": "%call_start_time:local%", "place": "%location_name%", "site": %site_id%, "prompts": [{"question": "%question%", "link": "%question_link%", "answer": "%response%"}]}'
        tokens = { location_name = { value = "Auto ID" }, site_id = { value = 4567 } }"#;
    let xml = r#"url = "{url}/29"
        body = "xml"
        template = '<call><tags>%tags%</tags><prompts>%prompt_responses%</prompts></call>'"#;
    let text = default_webhook(28, json) + &default_webhook(29, xml);
    let stage = stage("manual-tokens", &text);
    let mut scene = Scene::open(&stage);
    let records =
        [28, 29].map(|account| whole(&stage, &format!("u-{account}"), account, &prompts()));
    stage.kafka.produce(&records);
    scene.wait_for("correlation_ended", 2);
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    assert_eq!(
        to(&requests, "/28?from=2023-10-19T06%3A24%3A21.952Z").text(),
        concat!(
            r#"{"dialed":22,"answered":15,"status":"ANSWER","mp3":"https://r.example/a.mp3","wav":"https://r.example/a.wav","#,
            r#""start":"2023-10-19T06:24:21.952Z","local":"2023-10-19T11:54:21.952+05:30","place":"Auto ID","site":4567,"#,
            r#""prompts":[{"question":"one","link":"https://r.example/1.wav","answer":"1"},{"question":"two & <three>","answer":"2"}]}"#
        )
    );
    assert_eq!(
        to(&requests, "/29").text(),
        "<call><tags><Region>south</Region></tags><prompts><prompt><question>one</question>\
         <question_link>https://r.example/1.wav</question_link><response>1</response></prompt>\
         <prompt><question>two &amp; &lt;three&gt;</question><response>2</response></prompt></prompts></call>"
    );
    stage.verify();
}

#[test]
fn webhooks_of_a_group_share_a_template_and_each_account_has_its_constants() {
    let account = |id: i64, place: &str| {
        format!(
            "[[account]]\nid = {id}\nhttp_enabled = true\ngroup = \"dealers\"\nvalues = {{ location_name = \"{place}\" }}\n{}",
            default_webhook(
                id,
                &format!("url = \"{{url}}/{id}\"\ntemplate = {{ name = \"lead\" }}")
            )
        )
    };
    let template = "[[template]]\nname = \"lead\"\ngroup = \"dealers\"\ntype = \"xml\"\n\
        format = '<lead at=\"%location_name%\"><caller>%ani%</caller></lead>'\n";
    let text = format!("{template}{}{}", account(60, "Springwood"), account(61, "Los Angeles"));
    let stage = stage("manual-templates", &text);
    let mut scene = Scene::open(&stage);
    stage.kafka.produce(&[60, 61].map(|id| record(&stage, &format!("u-{id}"), id, &[])));
    scene.wait_for("correlation_ended", 2);
    scene.daemon.stop();
    let requests = stage.receiver.requests();
    for (path, place) in [("/60", "Springwood"), ("/61", "Los Angeles")] {
        let request = to(&requests, path);
        assert_eq!(
            request.text(),
            format!("<lead at=\"{place}\"><caller>919879072567</caller></lead>")
        );
        assert_eq!(request.header("content-type"), "application/xml");
    }
    stage.verify();
}
