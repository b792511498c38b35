//! Functions of the platform, signatures and statuses: what is read, and what is reported.

use super::{Folder, check};
use crate::domain::{Definitions as _, Facts, WebhookName};
use bytes::Bytes;

/// An account with the webhook `w`.
fn accounts(lines: &str) -> String {
    format!(
        "[[account]]\nid = 1\n[[webhook]]\nname = \"w\"\naccount = 1\nurl = \"https://a.b/\"\n{lines}\n"
    )
}

const FUNCTIONS: &str = "[[method]]\nname = \"FindLanguage\"\nrequest = [\"$flow.key.text\"]\n";

#[test]
fn a_catalogue_that_cannot_be_read_is_a_fault_and_a_good_one_adds_functions() {
    let call = accounts("body = \"internal\"\nmethod_name = \"FindLanguage\"");
    let settings = "[catalogue]\ninternal = \"functions.toml\"\n";
    let folder = Folder::new(settings, &call);
    assert_eq!(
        folder.faults(),
        [
            "ringback.toml:2: catalogue.internal: cannot read functions.toml: No such file or directory (os error 2); name a \
          file that this user may read"
        ]
    );
    let folder = folder.with("functions.toml", "[[method]]\nname = 5\n");
    let faults = folder.faults();
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert!(
        fault.starts_with("ringback.toml:2: catalogue.internal: functions.toml: line 2: "),
        "{fault}"
    );
    let folder = folder.with("functions.toml", FUNCTIONS);
    assert_eq!(folder.warnings(), Vec::<String>::new());
    assert!(folder.loaded().0.methods.contains_key("FindLanguage"));
    assert_eq!(Folder::new("", &call).warnings().len(), 1, "no catalogue knows it");
}

#[test]
fn values_of_a_call_are_texts_numbers_booleans_and_references_to_secrets() {
    let lines = "body = \"internal\"\nmethod_name = \"translateText\"\nvalues = { inputText = \"a\", sourceLang = 1.5, \
                 \"$flow.key.targetLang\" = false, apiKey = { env = \"KEY\" }, \"$flow.key.extra\" = 0 }";
    let folder = Folder::new("", &accounts(lines)).variable("KEY", "hush");
    assert_eq!(
        folder.warnings(),
        [
            "accounts.toml:9: warning: webhook[w].values.$flow.key.extra: the catalogue does not list $flow.key.extra for \
          translateText; it is sent; check the spelling: it lists $flow.key.inputText, $flow.key.sourceLang, \
          $flow.key.targetLang, $flow.key.apiKey"
        ]
    );
    let (_, accounts) = folder.loaded();
    let name = WebhookName::new("w").unwrap();
    let facts = Facts::default();
    let (body, _) = accounts.definitions.read(&facts).render(&name, &Bytes::new()).unwrap();
    let stored = |key: &str| {
        format!(
            r#"{{"method":"translateText","keys":[{{"name":"$flow.key.apiKey","value":"{key}"}},{{"name":"$flow.key.extra","value":0}},{{"name":"$flow.key.inputText","value":"a"}},{{"name":"$flow.key.sourceLang","value":1.5}},{{"name":"$flow.key.targetLang","value":false}}]}}"#
        )
    };
    assert_eq!(body, stored("***secret***"));
    let (webhook, _) = &accounts.webhooks[&name];
    let secrets = webhook.body_secrets.as_ref().unwrap();
    assert_eq!(secrets.filled(&body).unwrap(), stored("hush"));
    assert!(!format!("{webhook:?}").contains("hush"));
    let saves: Vec<&str> = accounts.definitions.saves(&name).iter().map(|it| &**it).collect();
    let of_catalogue =
        ["$flow.key.status", "$flow.key.translatedText", "$flow.key.detectedSourceLanguage"];
    assert_eq!(saves, of_catalogue);
}

#[test]
fn faults_of_values_name_the_variable() {
    let lines = "body = \"internal\"\nmethod_name = \"translateText\"\nvalues = { apiKey = \"a\", \
                 \"$flow.key.apiKey\" = \"b\", inputText = { env = \"NONE\" }, sourceLang = [] }\nmandatory = [\"$flow.key.z\"]";
    check(
        "",
        &accounts(lines),
        &[
            "accounts.toml:9: webhook[w].values.sourceLang: is a list; write text or a table with env or file or a whole \
             number or a number or true or false",
            "accounts.toml:9: webhook[w].values.apiKey: `$flow.key.apiKey` is empty or there twice; keep one of them",
            "accounts.toml:9: webhook[w].values.inputText: the environment variable `NONE` is not set; set it, or write { \
             file = \"PATH\" }",
        ],
    );
}

#[test]
fn settings_without_effect_are_warnings() {
    let lines = "retry = { statuses = [404, 429] }\nsignatures = [{ header = \"X-A\", scheme = \"hmac-sha256\", content = \
                 \"{timestamp}\", secret = \"s\" }]";
    let folder = Folder::new("", &accounts(lines));
    assert_eq!(
        folder.warnings(),
        [
            "accounts.toml:8: warning: webhook[w].signatures[#1].content: does not contain {body}, so that the receiver \
             can't tell whether the body is genuine; add {body} unless the receiver forbids it",
            "accounts.toml:7: warning: webhook[w].retry.statuses[#2]: 429 is always retried; remove it",
        ]
    );
    let (_, accounts) = folder.loaded();
    let (webhook, _) = &accounts.webhooks[&WebhookName::new("w").unwrap()];
    assert!(webhook.retried.contains(&404) && webhook.signatures.len() == 1);
}
