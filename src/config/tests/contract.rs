//! The two examples of the outward contract, word for word.

use super::{Folder, WHSEC};
use crate::config::policy;
use crate::delivery::{Auth, PerSecond};
use crate::domain::{AccountId, FlowId, WebhookName};
use std::time::Duration;

const SETTINGS: &str = r#"[kafka]
bootstrap_servers = "127.0.0.1:9092"
group_id = "ringback"
instance_id = "ringback-0"     # stable per instance: transactional.id, group.instance.id
commit_interval_ms = 100       # at most; an idle daemon commits what comes at once
[kafka.client]                 # any librdkafka property, quoted or dotted key, any scalar: "security.protocol" = "SSL"
[topics]
flow_complete = "flow-complete"          # a name or a list
delivery_report = "sms-delivery-report"
events = "ringback.events"
dead_letter = "ringback.dead-letter"
changelog = "ringback.changelog"
inbox = "ringback.inbox"
[schema_registry]              # absent: Avro single-object and JSON only
url = "http://127.0.0.1:8081"
[store]
directory = "data"
[http]
listen = "127.0.0.1:9464"      # /metrics /livez /readyz /api /
[accounts]
file = "accounts.toml"
[correlation]
phase2_wait = "all"            # all | each
phase2_order = "strict"        # strict | independent
correlation_ttl_s = 259200
report_timeout_s = 259200
on_report_timeout = "end"      # end | notify
dedup_window_s = 86400
[delivery]                     # defaults, each can be set per webhook
request_timeout_ms = 15000
connect_timeout_ms = 5000
in_flight_max = 1024           # the instance; per webhook: 32
uncommitted_max = 1000         # outcomes not committed yet: what a kill -9 may repeat, beside those in flight
rate_per_second = 0            # the instance; 0 = no limit; also per account and per webhook; burst defaults to the rate
attempts_max = 16
age_max_s = 86400
allow_addresses = []           # CIDRs opened in spite of the address policy
retry_after_max_s = 3600
disable_after_s = 432000
[delivery.retry]
initial_interval_ms = 5000
multiplier = 2.0
interval_max_ms = 3600000
randomization_factor = 0.2
[delivery.breaker]             # counts connection errors, time-outs and 5xx; not 4xx, nor 429
failure_ratio = 0.5
window_s = 30
attempts_min = 20
open_s = 30
"#;

const ACCOUNTS: &str = r#"[[account]]
id = 28
"account.sms.notifyOnDelivery" = true
"account.sms.notifyOnDelivery.attachflowkeys" = true
http_enabled = false
rate_per_second = 500

[[webhook]]
name = "crm"
account = 28
default = true
url = "https://crm.example.com/hooks/phonon"
method = "POST"
auth = { type = "basic", username = "phonon", password = { env = "CRM_PASSWORD" } }
signing_secrets = [{ file = "/run/secrets/crm" }]
rate_per_second = 50
burst = 100
in_flight_max = 16
success_codes = [200, 201, 202, 203, 204]
ca_file = "crm-ca.pem"                      # beside the system's roots
client_certificate_file = "crm.pem"
client_key_file = "crm.key"
retry = { attempts_max = 5, interval_max_ms = 60000 }   # any of [delivery.retry] and the limits

[[flow]]
id = 200
account = 28
webhook_enabled = true
"#;

fn rate(per_second: f64) -> PerSecond {
    PerSecond::new(per_second).unwrap()
}

fn folder() -> Folder {
    // A test must not write to /run.
    Folder::new(SETTINGS, &ACCOUNTS.replace("/run/secrets/crm", "crm.secret"))
        .with("crm.secret", format!("{WHSEC}\n"))
        .with("crm-ca.pem", include_bytes!("tls/client.pem"))
        .with("crm.pem", include_bytes!("tls/client.pem"))
        .with("crm.key", include_bytes!("tls/client.key"))
        .variable("CRM_PASSWORD", "secret")
}

#[test]
fn the_example_has_the_default_values() {
    let folder = folder();
    let (mut written, _) = folder.loaded();
    let (mut built_in, _) = Folder::new("", "").loaded();
    let registry = written.schema_registry.take().unwrap();
    assert_eq!(registry.url.as_str(), "http://127.0.0.1:8081/");
    assert_eq!(written.store.directory, folder.path("data"));
    built_in.file = written.file.clone();
    built_in.store = written.store.clone();
    built_in.accounts_file = written.accounts_file.clone();
    assert_eq!(written, built_in);
}

#[test]
fn every_key_of_the_accounts_example_is_read() {
    let (settings, accounts) = folder().loaded();
    let account = &accounts.accounts[&AccountId(28)];
    let crm = WebhookName::new("crm").unwrap();
    assert!(account.notify_on_delivery && account.attach_flow_keys);
    assert_eq!(account.webhook_enabled, None);
    assert_eq!(account.default_webhook, Some(crm.clone()));
    assert_eq!(account.flows.get(&FlowId(200)), Some(&true));
    assert_eq!(accounts.account_rates[&AccountId(28)], rate(500.0));
    let (webhook, of_webhook) = &accounts.webhooks[&crm];
    assert_eq!((&webhook.name, webhook.account), (&crm, AccountId(28)));
    assert_eq!(webhook.url.as_str(), "https://crm.example.com/hooks/phonon");
    assert_eq!(webhook.method, http::Method::POST);
    let Auth::Basic { username, password } = &webhook.auth else { panic!("basic") };
    assert_eq!((username.as_str(), password.reveal()), ("phonon", "secret"));
    assert_eq!(webhook.signing_secrets.len(), 1);
    assert_eq!(webhook.limits.rate_per_second.unwrap(), rate(50.0));
    assert_eq!(webhook.limits.burst.unwrap().get(), 100);
    assert_eq!(webhook.limits.in_flight_max.get(), 16);
    assert_eq!(webhook.success.0, [(200, 204)]);
    assert_eq!(webhook.request_timeout, Duration::from_secs(15));
    assert_eq!(webhook.connect_timeout, Duration::from_secs(5));
    assert!(webhook.tls.ca_pem.is_some() && webhook.tls.client_pem.is_some());
    assert_eq!(of_webhook.attempts_max, 5);
    assert_eq!(of_webhook.age_max_ms, 86_400_000);
    assert_eq!(of_webhook.retry.intervals_ms, [5000, 10_000, 20_000, 40_000, 60_000]);

    let policy = policy(&settings, &accounts);
    assert_eq!(policy.webhook(&crm), of_webhook);
    assert_eq!(policy.webhook_defaults.attempts_max, 16);
    assert_eq!(policy.webhook_defaults.retry.intervals_ms.last(), Some(&3_600_000));
    assert_eq!(&policy.accounts, &accounts.accounts);
}
