//! The configuration in force: the keys that a reload applies, the shown values, and the hashes.

use super::{Folder, WHSEC};
use crate::accounts::entry::AccountsFile;
use crate::config::effective::keys::{self, RELOADS, Reload, TEXTS};
use crate::config::settings::file::SettingsFile;
use crate::config::{Effective, Loaded};
use crate::document::{join, schema_of};
use serde_json::Value as Json;
use std::collections::BTreeSet;

impl Folder {
    fn whole(&self) -> Loaded {
        Loaded::load_with(&self.path("ringback.toml"), &self.variables)
            .unwrap_or_else(|faults| panic!("{faults}"))
    }

    fn again(&self, former: &Loaded) -> Loaded {
        Loaded::again_with(&former.settings, &former.effective, &self.variables)
            .unwrap_or_else(|faults| panic!("{faults}"))
    }
}

fn page(effective: &Effective) -> Json {
    let page = effective.page(&effective.hashes(), "2026-01-01T00:00:00Z");
    serde_json::from_str(&page).unwrap()
}

/// Returns the entry of `key` from either section.
fn entry(page: &Json, key: &str) -> Json {
    let entries = ["settings", "accounts"].map(|section| page[section].as_array().unwrap());
    let found = entries.into_iter().flatten().find(|entry| entry["key"] == key);
    found.unwrap_or_else(|| panic!("no {key}: {page:#}")).clone()
}

/// Finds the keys of `schema` that have a value and not other keys. Tables with arbitrary keys count as one.
fn leaves<'a>(schema: &'a Json, key: &str, found: &mut Vec<(String, &'a Json)>) {
    let schema = schema.get("items").filter(|it| it.get("properties").is_some()).unwrap_or(schema);
    match schema.get("properties").and_then(Json::as_object) {
        Some(properties) if !keys::is_secret(schema) => {
            for (name, below) in properties {
                leaves(below, &join(key, name), found);
            }
        }
        Some(_) | None => found.push((key.to_owned(), schema)),
    }
}

#[track_caller]
fn same<'a>(
    what: &str,
    listed: impl Iterator<Item = &'a str>,
    wanted: impl Iterator<Item = &'a str>,
) {
    let (listed, wanted): (BTreeSet<_>, BTreeSet<_>) = (listed.collect(), wanted.collect());
    let missing: Vec<_> = wanted.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&wanted).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "{what} of src/config/effective/keys.rs lacks {missing:?}, and has no use for {unknown:?}"
    );
}

#[test]
fn every_key_is_listed_with_its_reload_and_its_visibility() {
    let (settings, accounts) = (schema_of::<SettingsFile>(), schema_of::<AccountsFile>());
    let mut found = Vec::new();
    leaves(&settings, "", &mut found);
    same("RELOADS", RELOADS.iter().map(|it| it.0), found.iter().map(|it| it.0.as_str()));
    leaves(&accounts, "", &mut found);
    let is_text = |schema: &Json| {
        let items = schema.get("items").is_some_and(keys::is_secret);
        keys::is_text(schema) && !keys::is_secret(schema) && !items
    };
    let texts = found.iter().filter(|(_, schema)| is_text(schema)).map(|it| it.0.as_str());
    same("TEXTS", TEXTS.iter().map(|it| it.0), texts);
}

/// Returns a valid value of `key` that differs from its default, if there is one.
fn another(key: &str, schema: &Json) -> Option<toml::Value> {
    let list = |text: &str| toml::Value::Array(vec![text.into()]);
    let written = match key {
        "kafka.client" => toml::Table::from_iter([("client.id".to_owned(), "x".into())]).into(),
        "kafka.bootstrap_servers" => "elsewhere:9092".into(),
        "schema_registry.url" => "http://elsewhere/".into(),
        "http.listen" => "127.0.0.1:1234".into(),
        "traces.endpoint" => "http://elsewhere/v1/traces".into(),
        "traces.headers" => toml::Table::from_iter([("x-key".to_owned(), "x".into())]).into(),
        "accounts.mysql.references" => false.into(),
        "accounts.file" => "other.toml".into(),
        "accounts.source" => "file".into(),
        "accounts.mysql.url" => "mysql://u@elsewhere/d".into(),
        // They need certificates.
        "accounts.mysql.ca_file"
        | "accounts.mysql.client_certificate_file"
        | "accounts.mysql.client_key_file" => return None,
        "statuses.final" | "statuses.intermediate" => list("ANOTHER"),
        "topics.unwrap" => list("connect"),
        "statuses.aliases" => toml::Table::from_iter([("8".to_owned(), "SENT".into())]).into(),
        "delivery.allow_addresses" => list("10.0.0.0/8"),
        "delivery.name_servers" => list("10.0.0.2"),
        "delivery.rate" => "7/min".into(),
        "delivery.proxy" => "http://proxy:3128".into(),
        "sink.mongodb.uri" => "mongodb://elsewhere".into(),
        "sink.mongodb.write_concern" => 2.into(),
        "sink.mongodb.listen" => "127.0.0.1:1235".into(),
        _ => {
            let bound = |name| schema[name].as_f64();
            let number = bound("minimum").zip(bound("maximum")).map(|(a, b)| f64::midpoint(a, b));
            match schema["type"].as_str() {
                Some("integer") => (schema["default"].as_i64().unwrap() + 1).into(),
                Some("number") => number.unwrap().into(),
                _ => {
                    let words = schema.get("oneOf").and_then(Json::as_array);
                    let words = words.into_iter().flatten().map(|word| &word["const"]);
                    let mut others = words.filter(|word| **word != schema["default"]);
                    others.next().and_then(Json::as_str).unwrap_or("another").into()
                }
            }
        }
    };
    Some(written)
}

fn put(table: &mut toml::Table, path: &str, value: toml::Value) {
    match path.split_once('.') {
        None => drop(table.insert(path.to_owned(), value)),
        Some((name, rest)) => {
            let below = table.entry(name).or_insert_with(|| toml::Table::new().into());
            put(below.as_table_mut().unwrap(), rest, value);
        }
    }
}

#[test]
fn a_reload_applies_exactly_the_listed_keys() {
    const SECTIONS: &str = "[schema_registry]\nurl = 'http://registry/'\nusername = 'u'\npassword = 'p'\n\
         [accounts]\nsource = 'mysql'\n[accounts.mysql]\nurl = 'mysql://u@host/d'\n\
         [sink.mongodb]\nuri = 'mongodb://u:p@a'\ndatabase = 'd'\n\
         [traces]\nendpoint = 'http://collector/v1/traces'\n";
    /// The file that a key may name.
    const FUNCTIONS: &str = "[[method]]\nname = 'a'\n";
    let schema = schema_of::<SettingsFile>();
    let mut found = Vec::new();
    leaves(&schema, "", &mut found);
    for (key, schema) in found {
        let Some(value) = another(&key, schema) else { continue };
        let folder = Folder::new(SECTIONS, "").with("other.toml", "").with("another", FUNCTIONS);
        let former = folder.whole();
        let mut table: toml::Table = toml::from_str(SECTIONS).unwrap();
        put(&mut table, &key, value);
        let folder = folder.with("ringback.toml", table.to_string());
        let (fresh, now) = (folder.whole(), folder.again(&former));
        assert_ne!(fresh.settings, former.settings, "{key}");
        let key = match key.as_str() {
            "kafka.client" => "kafka.client.client.id",
            "statuses.aliases" => "statuses.aliases.8",
            "traces.headers" => "traces.headers.x-key",
            other => other,
        };
        let changed = now.effective.changed_since(&former.effective);
        match keys::reload(key) {
            Reload::Applied => {
                assert_eq!(now.settings, fresh.settings, "{key} is applied");
                assert_eq!((changed, now.effective.restart_needed()), (vec![key], vec![]));
                assert_eq!(now.effective.hashes(), fresh.effective.hashes(), "{key}");
            }
            Reload::Restart => {
                assert_eq!(now.settings, former.settings, "{key} keeps its old value");
                assert_eq!((changed, now.effective.restart_needed()), (vec![], vec![key]));
                assert_eq!(now.effective.hashes(), former.effective.hashes(), "{key}");
                assert!(page(&now.effective)["settings"].to_string().contains("after_restart"));
            }
        }
        assert_ne!(fresh.effective.hashes().all, former.effective.hashes().all, "{key}");
        // After the change back, nothing needs a restart.
        let folder = folder.with("ringback.toml", SECTIONS);
        assert!(folder.again(&now).effective.restart_needed().is_empty(), "{key}");
    }
}

#[test]
fn another_spelling_needs_no_restart() {
    let folder =
        Folder::new("[kafka]\nclient = { \"client.id\" = 'x' }\n[delivery]\nrate = '60/min'", "");
    let former = folder.whole();
    let text = "[delivery]\nrate_per_second = 1\n[kafka.client]\nclient.id = 'x'\n";
    let now = folder.with("ringback.toml", text).again(&former);
    assert!(now.effective.restart_needed().is_empty(), "{:?}", now.effective.restart_needed());
}

#[test]
fn a_fault_in_either_file_refuses_both() {
    let folder = Folder::new("", "");
    let former = folder.whole();
    let folder = folder.with("ringback.toml", "[delivery]\nattempts_max = 0\n");
    let folder = folder.with("accounts.toml", "[[account]]\n");
    let again = Loaded::again_with(&former.settings, &former.effective, &folder.variables);
    let said = again.unwrap_err().to_string();
    assert!(said.contains("delivery.attempts_max") && said.contains("account[#1].id"), "{said}");
}

/// Every kind of secret, each containing this word.
const SETTINGS: &str = r#"
[kafka.client]
"security.protocol" = "SASL_SSL"
"sasl.mechanism" = "PLAIN"
"sasl.username" = "user"
"sasl.password" = "hush-1"
"client.id" = { env = "HUSH_CLIENT" }
"ssl.key.password" = { file = "hush" }
"sasl.oauthbearer.token.endpoint.url" = "https:user:hush-3@login.example.com/?key=hush-3"
[schema_registry]
url = "http://registry/"
username = "user"
password = { env = "HUSH" }
[http]
token = "hush-4"
[delivery]
proxy = "http://user:hush-5@proxy:3128"
[traces]
endpoint = "http://collector/v1/traces"
headers = { authorization = "hush-22", x-key = { env = "HUSH" } }
"#;

const ACCOUNTS: &str = r#"
[[account]]
id = 28
[[webhook]]
name = "crm"
account = 28
notes = "ask Ada"
url = "https://crm.example.com/hooks?key=hush-7"
auth = { type = "basic", username = "user", password = "hush-8" }
headers = [{ name = "X-Api-Key", value = "hush-9" }, { name = "X-Other", value = { env = "HUSH" } }]
query = [{ name = "token", value = "hush-10" }]
signing_secrets = ["WHSEC"]
body = "json"
template = '{"key": "hush-11"}'
[[webhook]]
name = "oauth"
account = 28
url = "https://oauth.example.com/"
auth = { type = "oauth2", token_url = "https://login.example.com/?key=hush-12", client_id = "user", client_secret = { file = "hush" } }
[[webhook]]
name = "bearer"
account = 28
url = "https://bearer.example.com/"
auth = { type = "bearer", token = "hush-13" }
body = "internal"
method_name = "createOutbound"
values = { "$flow.syskey.flowID" = "hush-14" }
tokens = { location_name = { value = "hush-18" }, ani = "$flow.key.shown" }
[[account]]
id = 29
values = { dealer = "hush-19" }
[[template]]
name = "lead"
type = "json"
format = '{"key": "hush-20"}'
tokens = { place = { value = "hush-21" }, caller = "%ani%" }
"#;

fn full() -> Folder {
    let folder = Folder::new(SETTINGS, &ACCOUNTS.replace("WHSEC", WHSEC)).with("hush", "hush-15");
    folder.variable("HUSH", "hush-16").variable("HUSH_CLIENT", "hush-17")
}

#[test]
fn no_secret_is_shown_and_each_changes_the_hash() {
    let folder = full();
    let first = folder.whole().effective;
    let (shown, hashes) = (page(&first).to_string(), first.hashes());
    assert!(!shown.contains("hush-") && !shown.contains(WHSEC), "{shown}");
    assert!(shown.contains("ask Ada"), "people read notes: {shown}");
    assert!(shown.contains("$flow.key.shown") && shown.contains("%ani%"), "{shown}");
    assert!(!format!("{first:?}").contains("hush-"));
    let other = "whsec_D2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    for number in
        (1..=22).filter(|number| ![2, 6].contains(number)).map(|number| format!("hush-{number}"))
    {
        let changed = |text: &str| {
            text.replace(&format!("{number}\""), "hush-x\"")
                .replace(&format!("{number}@"), "hush-x@")
        };
        let mut folder = full()
            .with("ringback.toml", changed(SETTINGS))
            .with("accounts.toml", changed(&ACCOUNTS.replace("WHSEC", WHSEC)));
        if number == "hush-15" {
            folder = folder.with("hush", "hush-x");
        }
        for value in folder.variables.values_mut().filter(|value| **value == number) {
            "hush-x".clone_into(value);
        }
        let after = folder.whole().effective;
        let now = after.hashes();
        assert_ne!((now.all, now.secrets), (hashes.all, hashes.secrets), "{number}");
        assert!(
            after
                .differences(&page(&first))
                .iter()
                .all(|it| it.key == "store.directory" || it.key == "accounts.file"),
            "{number}"
        );
    }
    let folder = full().with("accounts.toml", ACCOUNTS.replace("WHSEC", other));
    assert_ne!(folder.whole().effective.hashes().accounts, hashes.accounts);
}

#[test]
fn each_value_has_its_source() {
    let folder = full()
        .variable("RINGBACK__DELIVERY__ATTEMPTS_MAX", "7")
        .variable("RINGBACK__HTTP__TOKEN", "hush-30");
    let loaded = folder.whole();
    let page = page(&loaded.effective);
    let check = |key: &str, value: Json, source: Json| {
        let mut found = entry(&page, key);
        let found = found.as_object_mut().unwrap();
        assert_eq!(found.remove("value").unwrap(), value, "{key}");
        found.remove("key");
        if let Some(file) = found.remove("file") {
            assert!(file.as_str().unwrap().ends_with(".toml"), "{file}");
        }
        assert_eq!(Json::Object(found.clone()), source, "{key}");
    };
    use serde_json::json;
    let line = |line: u32| json!({"source": "file", "line": line});
    let default = || json!({"source": "default"});
    check("kafka.client.sasl.username", json!("user"), line(5));
    check("kafka.client.sasl.password", json!("***"), line(6));
    check("kafka.client.client.id", json!({"env": "HUSH_CLIENT"}), line(7));
    check("kafka.client.ssl.key.password", json!({"file": "hush"}), line(8));
    check("kafka.group_id", json!("ringback"), default());
    check("delivery.rate_per_second", json!(0), default());
    check("delivery.rate", Json::Null, default());
    check("store.directory", json!(folder.path("data")), default());
    check("accounts.file", json!(folder.path("accounts.toml")), default());
    let variable = |name: &str| json!({"source": "environment", "variable": name});
    check("delivery.attempts_max", json!(7), variable("RINGBACK__DELIVERY__ATTEMPTS_MAX"));
    check("http.token", json!("***"), variable("RINGBACK__HTTP__TOKEN"));
    let url = "kafka.client.sasl.oauthbearer.token.endpoint.url";
    check(url, json!("https://***@login.example.com/?***"), line(9));
    check("schema_registry.url", json!("http://registry/"), line(11));
    check("webhook[crm].url", json!("https://crm.example.com/hooks?***"), line(8));
    check("webhook[crm].headers[X-Other].value", json!({"env": "HUSH"}), line(10));
    check("webhook[crm].signing_secrets[#1]", json!("***"), line(12));
    check("webhook[crm].method", json!("POST"), default());
    let inherited = json!({"source": "inherited", "inherited_from": "delivery.attempts_max"});
    check("webhook[crm].retry.attempts_max", json!(7), inherited);
}

#[test]
fn differences_name_keys_and_whether_they_need_a_restart() {
    let accounts =
        "[[account]]\nid = 28\n[[webhook]]\nname = 'crm'\naccount = 28\nurl = 'https://a/'\n";
    let folder = Folder::new("[delivery]\nage_max_s = 7\n", accounts);
    let theirs = page(&folder.whole().effective);
    let folder = folder
        .with(
            "ringback.toml",
            "# moved\n[kafka]\ngroup_id = 'other'\n[kafka.client]\nclient.id = 'x'\n",
        )
        .with("accounts.toml", accounts.replace("https://a/", "https://b/"));
    let found = folder.whole().effective.differences(&theirs);
    let found: Vec<_> = found.iter().map(|it| (it.key.as_str(), it.needs_restart)).collect();
    let wanted = [
        ("delivery.age_max_s", false),
        ("kafka.client.client.id", true),
        ("kafka.group_id", true),
        ("webhook[crm].url", false),
    ];
    assert_eq!(found, wanted);
}

#[test]
fn equivalent_configurations_have_the_same_hashes() {
    const ONE: &str = "[[account]]\nid = 28\n[[account]]\nid = 29\n";
    const OTHER: &str = "[[account]]\nid = 29\n[[account]]\nid = 28\n";
    let webhook = |name: &str, more: &str| {
        format!("[[webhook]]\nname = '{name}'\naccount = 28\nurl = 'https://{name}/'\n{more}")
    };
    let flow = |id: i64, account: i64, enabled: bool| {
        format!("[[flow]]\nid = {id}\naccount = {account}\nwebhook_enabled = {enabled}\n")
    };
    let secret = format!("signing_secrets = ['{WHSEC}']\n");
    let empty = format!("{secret}mandatory = []\nparameters = []\nheaders = []\n");
    let first = [ONE, &webhook("a", &secret), &webhook("b", ""), &flow(7, 28, true)].concat();
    let first = [first, flow(7, 29, false), flow(10, 28, true)].concat();
    let second =
        [&flow(10, 28, true), &flow(7, 29, false), &flow(7, 28, true), OTHER].map(String::from);
    let second = [second.concat(), webhook("b", ""), webhook("a", &empty)].concat();
    let folder = Folder::new("[kafka]\ninstance_id = 'one'\n", &first);
    let one = folder.whole().effective;
    let folder = folder.with("accounts.toml", second);
    let two = folder.whole().effective;
    assert_eq!(one.changed_since(&two), Vec::<&str>::new());
    assert_eq!(one.hashes(), two.hashes());
    let folder = folder.with(
        "accounts.toml",
        first.replace("account = 28\nwebhook_enabled", "account = 29\nwebhook_enabled"),
    );
    assert!(folder.load().is_err(), "one flow is listed twice");

    // The same files under other paths.
    let folder = Folder::new("", "");
    let one = folder.whole().effective.hashes();
    let link = folder.path("link");
    std::os::unix::fs::symlink(folder.path(""), &link).unwrap();
    std::fs::create_dir(folder.path("below")).unwrap();
    for directory in [link, folder.path("below/..")] {
        let file = directory.join("ringback.toml");
        let other = Loaded::load_with(&file, &folder.variables).unwrap();
        assert_eq!(other.effective.hashes(), one, "{}", directory.display());
    }
}

#[test]
fn a_registry_whose_url_would_show_a_secret_is_refused() {
    let wanted = "ringback.toml:2: schema_registry.url: has a query or a fragment, which no request carries; remove `?` or `#` and what \
                  follows it";
    super::check("[schema_registry]\nurl = 'http://registry/?token=hush'\n", "", &[wanted]);
}
