//! Configurations and topics that a daemon refuses to start with: exit code 78 and one clear message.

use crate::harness::broker;
use crate::harness::daemon::EX_CONFIG;
use crate::harness::samples::flow;
use crate::harness::stage::Stage;

/// Panics unless the daemon refuses to start, with one line that names all of `words`.
fn refuses(stage: &Stage, words: &[&str]) {
    let said = stage.refused();
    let clear = said.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    assert_eq!(clear.count(), 1, "one line names {words:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn http_needs_the_accounts_permission() {
    let mut stage = Stage::without_topics(broker::shared(), "refusals-http");
    stage.set_account("http_enabled", false);
    refuses(&stage, &["crm", "http_enabled"]);
}

#[test]
fn a_clients_property_that_breaks_a_guarantee_is_refused_by_every_command() {
    let mut stage = Stage::without_topics(broker::shared(), "refusals-client");
    for (name, value, why) in [
        ("auto.offset.reset", "latest", "skips the records of a new partition"),
        ("group.protocol", "consumer", "only the classic protocol"),
        // Only librdkafka can check this value.
        ("security.protocol", "TLS", "librdkafka refuses it"),
    ] {
        let mut client = toml::Table::new();
        client.insert(name.to_owned(), value.into());
        stage.set("kafka.client", client);
        let key = format!("kafka.client.{name}: ");
        refuses(&stage, &["ringback.toml", &key, why]);
        for arguments in [
            &["check"][..],
            &["topics"],
            &["verify"],
            &["trace", "u-1"],
            &["webhook", "list"],
            &["dead-letter", "list"],
        ] {
            let done = stage.command(arguments);
            assert_eq!(done.code, Some(EX_CONFIG), "{arguments:?}: {done:?}");
            assert!(done.err.contains(&key) && done.err.contains(why), "{arguments:?}: {done:?}");
        }
    }
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    let mut stage = Stage::without_topics(broker::shared(), "refusals-key");
    stage.set("delivery.retry.initial_intervall_ms", 5);
    refuses(&stage, &["initial_intervall_ms", "initial_interval_ms"]);
}

#[test]
fn a_url_that_cannot_be_parsed_is_refused() {
    let mut stage = Stage::without_topics(broker::shared(), "refusals-url");
    stage.set_webhook("url", "https://exa mple.com:port/hooks");
    refuses(&stage, &["crm", "url"]);
}

#[test]
fn a_url_or_a_proxy_must_not_show_credentials() {
    let mut stage = Stage::without_topics(broker::shared(), "refusals-credentials");
    stage.set_webhook("url", "https://phonon:opensesame@crm.example.com/hooks");
    stage.set("delivery.proxy", "socks5://phonon:opensesame@proxy.example.com");
    let said = stage.refused();
    for words in
        [["accounts.toml", "crm", "url", "auth"], ["ringback.toml", "delivery", "proxy", "http://"]]
    {
        let clear = said.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        assert_eq!(clear.count(), 1, "one line names {words:?}: {said}");
    }
    assert!(!said.contains("opensesame"), "{said}");
}

#[test]
fn a_request_timeout_of_more_than_a_minute_is_refused() {
    let mut stage = Stage::without_topics(broker::shared(), "refusals-timeout");
    stage.set("delivery.request_timeout_ms", 60_001);
    refuses(&stage, &["ringback.toml", "delivery.request_timeout_ms", "60001", "1 to 60000"]);
    stage.set("delivery.request_timeout_ms", 60_000);
    stage.set_webhook("request_timeout_ms", 60_001);
    refuses(&stage, &["accounts.toml", "crm", "request_timeout_ms", "60001", "1 to 60000"]);
}

#[test]
fn a_bad_template_of_a_url_is_refused_when_it_is_loaded() {
    for (name, url) in [
        ("refusals-variable", "https://crm.example.com/$flow.kye.leadid"),
        ("refusals-token", "https://crm.example.com/%targett%"),
        ("refusals-brace", "https://crm.example.com/{id"),
    ] {
        let mut stage = Stage::without_topics(broker::shared(), name);
        stage.set_webhook("url", url);
        refuses(&stage, &["crm", "url", "bad template of URL"]);
    }
}

#[test]
fn a_secret_file_that_does_not_exist_is_refused() {
    let mut stage = Stage::without_topics(broker::shared(), "refusals-secret");
    let mut secret = toml::Table::new();
    secret.insert("file".into(), "/nonexistent/crm-secret".into());
    stage.set_webhook("signing_secrets", vec![secret]);
    refuses(&stage, &["crm", "/nonexistent/crm-secret"]);
}

#[test]
fn an_environment_variable_that_is_not_set_is_refused() {
    let mut stage = Stage::without_topics(broker::shared(), "refusals-env");
    let auth = "type = 'basic'\nusername = 'u'\npassword = { env = 'RINGBACK_TEST_NOT_SET' }";
    stage.set_webhook("auth", toml::from_str::<toml::Table>(auth).expect("TOML"));
    refuses(&stage, &["crm", "RINGBACK_TEST_NOT_SET"]);
}

#[test]
fn every_fault_is_reported_not_only_the_first() {
    let mut stage = Stage::without_topics(broker::shared(), "refusals-all");
    stage.set_account("http_enabled", false);
    stage.set_webhook("method", "YELL");
    let said = stage.refused();
    assert!(said.contains("http_enabled") && said.contains("YELL"), "{said}");
}

#[test]
fn a_changelog_that_is_not_compacted_is_refused() {
    let stage = Stage::without_topics(broker::shared(), "refusals-changelog");
    let plain: &[(&str, &str)] = &[];
    let names = ["flow-complete", "sms-delivery-report", "changelog"].map(|kind| stage.topic(kind));
    let topics: Vec<_> = names.iter().map(|name| (name.as_str(), 1, plain)).collect();
    stage.kafka.create_topics(&topics);
    stage.send_flows(&[flow("never", &[])]);
    let said = stage.refused();
    assert!(said.contains("topics --mend") && said.contains(&names[2]), "{said}");
    assert!(stage.receiver.requests().is_empty(), "nothing was sent");
}
