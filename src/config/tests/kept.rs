//! Reloads: the changes of the files that keep an endpoint, and accounts that another source sends.

use super::{Folder, WHSEC};
use crate::config::Loaded;
use crate::delivery::{Endpoint, Trust, Webhook};
use crate::domain::WebhookName;
use std::sync::Arc;

const ACCOUNT: &str = "[[account]]\nid = 1\n";
const OTHER: &str =
    "[[webhook]]\nname = \"other\"\naccount = 1\nurl = \"https://other.invalid/\"\n";

/// Returns a webhook that refers to two files and a variable.
fn webhook() -> String {
    format!(
        "[[webhook]]\nname = \"w\"\naccount = 1\nurl = \"https://a.invalid/b\"\n\
         auth = {{ type = \"bearer\", token = {{ file = \"token\" }} }}\nsigning_secrets = [\"{WHSEC}\"]\n\
         headers = [{{ name = \"X-Key\", value = {{ env = \"KEY\" }} }}]\nca_file = \"ca.pem\"\n"
    )
}

fn folder() -> Folder {
    Folder::new("", &format!("{ACCOUNT}{}", webhook()))
        .with("token", "abc")
        .with("ca.pem", include_str!("tls/client.pem"))
        .variable("KEY", "k")
}

fn load(folder: &Folder) -> Loaded {
    Loaded::load_with(&folder.path("ringback.toml"), &folder.variables)
        .unwrap_or_else(|faults| panic!("{faults}"))
}

fn found(loaded: &Loaded) -> Arc<Webhook> {
    loaded.accounts.webhooks[&WebhookName::new("w").unwrap()].0.clone()
}

/// Returns whether the endpoint of `folder()` is kept after `change`.
fn survives(trust: &Trust, change: impl FnOnce(Folder) -> Folder) -> bool {
    let before = folder();
    let loaded = load(&before);
    let addresses = &loaded.settings.delivery.addresses;
    let endpoint = Endpoint::new(found(&loaded), trust, addresses).unwrap();
    let after = load(&change(before));
    endpoint.serves(&found(&after), &after.settings.delivery.addresses, usize::MAX)
}

#[test]
fn an_endpoint_is_kept_when_other_settings_change() {
    let trust = Trust::new().unwrap();
    let with = |text: String| move |folder: Folder| folder.with("accounts.toml", text);
    let settings = |text: &'static str| move |folder: Folder| folder.with("ringback.toml", text);
    assert!(survives(&trust, |folder| folder), "nothing changed");
    for text in [
        format!("# A line more.\n\n{ACCOUNT}{}", webhook()),
        format!("{ACCOUNT}{}{OTHER}", webhook()),
        format!("{ACCOUNT}{OTHER}{}", webhook()),
        format!("{ACCOUNT}rate_per_second = 7\n{}notes = \"for people\"\n", webhook()),
    ] {
        assert!(survives(&trust, with(text.clone())), "{text}");
    }
    for text in [
        "[correlation]\nphase2_wait = \"each\"\n",
        "[delivery]\nuncommitted_max = 7\nage_max_s = 7\n",
        "[kafka]\ngroup_id = \"another\"\n",
    ] {
        assert!(survives(&trust, settings(text)), "{text}");
    }
}

#[test]
fn an_endpoint_is_rebuilt_when_any_of_its_settings_or_files_changes() {
    let trust = Trust::new().unwrap();
    for more in [
        "method = \"PUT\"\n",
        "request_timeout_ms = 7\n",
        "in_flight_max = 7\n",
        "rate_per_second = 7\n",
        "success_codes = [200]\n",
        "retry = { initial_interval_ms = 7 }\n",
        "breaker = { open_s = 7 }\n",
        "http_version = \"1.1\"\n",
        "query = [{ name = \"a\", value = \"b\" }]\n",
        "response = { type = \"json\" }\n",
    ] {
        let text = format!("{ACCOUNT}{}{more}", webhook());
        assert!(!survives(&trust, |folder| folder.with("accounts.toml", text)), "{more}");
    }
    for (file, content) in
        [("token", "xyz"), ("ca.pem", concat!(include_str!("tls/client.pem"), "\n"))]
    {
        assert!(!survives(&trust, |folder| folder.with(file, content)), "{file}");
    }
    assert!(!survives(&trust, |folder| folder.variable("KEY", "another")), "a variable");
    let values = format!("{ACCOUNT}values = {{ place = 1 }}\n{}", webhook());
    assert!(!survives(&trust, |folder| folder.with("accounts.toml", values)), "a constant");
    for key in [
        "request_timeout_ms = 7",
        "connect_timeout_ms = 7",
        "connection_max_age_s = 7",
        "in_flight_max_webhook = 7",
        "retry_after_max_s = 7",
        "allow_addresses = [\"10.0.0.0/8\"]",
        "proxy = \"http://proxy.invalid:3128\"",
        "retry.initial_interval_ms = 7",
        "breaker.open_s = 7",
    ] {
        let text = format!("[delivery]\n{key}\n");
        assert!(!survives(&trust, |folder| folder.with("ringback.toml", text)), "{key}");
    }
}

#[test]
fn an_endpoint_with_fewer_connections_than_allowed_is_kept_unless_it_has_none() {
    let loaded = load(&folder());
    let (webhook, addresses) = (found(&loaded), &loaded.settings.delivery.addresses);
    let trust = Trust::new().unwrap();
    let names = crate::delivery::Names::default();
    for (kept, now, serves) in
        [(4, 4, true), (4, 8, true), (8, 4, false), (0, 4, false), (0, 0, true)]
    {
        let endpoint = Endpoint::keeping(webhook.clone(), &trust, addresses, &names, kept).unwrap();
        assert_eq!(endpoint.serves(&webhook, addresses, now), serves, "{kept} {now}");
    }
    let endpoint = Endpoint::keeping(webhook.clone(), &trust, addresses, &names, 100).unwrap();
    assert!(endpoint.serves(&webhook, addresses, 64), "in_flight_max is less than both");
}
