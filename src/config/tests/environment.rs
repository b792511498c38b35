//! Environment variables override keys.

use super::{Folder, Variables};
use crate::config::Settings;
use crate::delivery::AddressPolicy;

fn overridden(settings: &str, variables: &[(&str, &str)]) -> Settings {
    folder(settings, variables).loaded().0
}

fn folder(settings: &str, variables: &[(&str, &str)]) -> Folder {
    let folder = Folder::new(settings, "");
    variables.iter().fold(folder, |folder, (name, text)| folder.variable(name, text))
}

#[test]
fn variables_are_typed_by_the_key_that_they_override() {
    let settings = overridden(
        "[kafka]\ngroup_id = \"file\"\n[delivery]\nattempts_max = 3\n",
        &[
            ("RINGBACK__KAFKA__BOOTSTRAP_SERVERS", "kafka-0:9092,kafka-1:9092"),
            ("RINGBACK__KAFKA__GROUP_ID", "123"),
            ("ringback__delivery__attempts_max", " 7 "),
            ("RINGBACK__DELIVERY__RETRY__MULTIPLIER", "3"),
            ("Ringback__Correlation__Phase2_Wait", "each"),
            ("RINGBACK__SCHEMA_REGISTRY__URL", "http://registry:8081"),
            ("RINGBACK__ACCOUNTS__FILE", "accounts.toml"),
            ("RINGBACK_TOKEN", "not ours to judge"),
        ],
    );
    assert_eq!(settings.kafka.bootstrap_servers, "kafka-0:9092,kafka-1:9092");
    assert_eq!(settings.kafka.group_id, "123");
    assert_eq!(settings.delivery.defaults.bounds.attempts_max, 7);
    assert!((settings.delivery.defaults.retry.multiplier - 3.0).abs() < f64::EPSILON);
    assert_eq!(settings.correlation.phase2_wait, crate::domain::Phase2Wait::Each);
    assert_eq!(settings.schema_registry.unwrap().url.as_str(), "http://registry:8081/");
}

#[test]
fn a_clients_property_has_dots_for_underscores_and_overrides_the_file() {
    let settings = overridden(
        "[kafka.client]\nsecurity.protocol = \"PLAINTEXT\"\n\"socket.keepalive.enable\" = true\n",
        &[
            ("RINGBACK__KAFKA__CLIENT__SECURITY_PROTOCOL", "SSL"),
            ("RINGBACK__KAFKA__CLIENT__SOCKET_TIMEOUT_MS", "5000"),
        ],
    );
    let client: Vec<_> =
        settings.kafka.client.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let wanted = [
        ("security.protocol", "SSL"),
        ("socket.keepalive.enable", "true"),
        ("socket.timeout.ms", "5000"),
    ];
    assert_eq!(client, wanted);
}

#[test]
fn lists_are_toml_or_comma_separated() {
    for text in ["10.0.0.0/8, fd00::/8", r#"["10.0.0.0/8", "fd00::/8"]"#] {
        let settings = overridden("", &[("RINGBACK__DELIVERY__ALLOW_ADDRESSES", text)]);
        let opened = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        assert_eq!(settings.delivery.addresses, AddressPolicy::new(opened));
    }
    for (text, topics) in [("a,b", vec!["a", "b"]), (r#"["a"]"#, vec!["a"]), ("a", vec!["a"])] {
        let settings = overridden("", &[("RINGBACK__TOPICS__FLOW_COMPLETE", text)]);
        assert_eq!(settings.topics.flow_complete, topics);
    }
    let settings = overridden(
        "[delivery]\nallow_addresses = [\"10.0.0.0/8\"]",
        &[("RINGBACK__DELIVERY__ALLOW_ADDRESSES", "")],
    );
    assert_eq!(settings.delivery.addresses, AddressPolicy::default());
}

#[test]
fn a_secret_can_be_overridden_by_its_text_or_by_its_file() {
    let file = "[http]\ntoken = { env = \"NOT_SET\" }\n";
    let settings = overridden(file, &[("RINGBACK__HTTP__TOKEN", "literal")]);
    assert_eq!(settings.http.token.unwrap().reveal(), "literal");
    let folder = folder(file, &[("RINGBACK__HTTP__TOKEN__FILE", "token")]);
    let settings = folder.with("token", "filed\n\n").load();
    assert!(settings.is_err(), "only one newline is lost, and no header carries the other");
    let folder = self::folder(file, &[("RINGBACK__HTTP__TOKEN__FILE", "token")]);
    let (settings, _) = folder.with("token", "filed\n").loaded();
    assert_eq!(settings.http.token.unwrap().reveal(), "filed");
}

#[test]
fn faults_name_the_variable() {
    let folder = folder(
        "",
        &[
            ("RINGBACK__KAFKA__BOOTSTRAP_SERVER", "x"),
            ("RINGBACK__KAFKA", "x"),
            ("RINGBACK__KAFKA__GROUP_ID__X", "x"),
            ("RINGBACK__NOTHING__LIKE__THIS", "x"),
            ("RINGBACK__DELIVERY__ATTEMPTS_MAX", "many"),
            ("RINGBACK__DELIVERY__AGE_MAX_S", "0"),
            ("RINGBACK__HTTP__LISTEN", "0.0.0.0:9464"),
            ("RINGBACK__KAFKA__CLIENT__GROUP_ID", "x"),
            ("RINGBACK__STORE__DIRECTORY", "a"),
            ("ringback__store__directory", "b"),
        ],
    );
    let wanted = [
        "environment: RINGBACK__DELIVERY__ATTEMPTS_MAX (delivery.attempts_max): has another type; write a whole number from 1 to 10000",
        "environment: RINGBACK__KAFKA (kafka): is a table; name one of its keys: bootstrap_servers, client, \
         commit_interval_ms, group_id, instance_id",
        "environment: RINGBACK__KAFKA__BOOTSTRAP_SERVER (kafka.bootstrap_server): does not name a key; did you mean \
         `RINGBACK__KAFKA__BOOTSTRAP_SERVERS`?",
        "environment: RINGBACK__KAFKA__GROUP_ID__X (kafka.group_id.x): does not name a key; `kafka.group_id` has no \
         keys below it",
        "environment: RINGBACK__NOTHING__LIKE__THIS (nothing): does not name a key; unset it; known here: accounts, \
         catalogue, correlation, delivery, http, kafka, schema_registry, sink, statuses, store, topics, traces",
        "environment: ringback__store__directory (store.directory): `RINGBACK__STORE__DIRECTORY` sets the same key; \
         remove one of them",
        "environment: RINGBACK__DELIVERY__AGE_MAX_S (delivery.age_max_s): is 0; write a whole number from 1 to 31536000",
        "environment: RINGBACK__KAFKA__CLIENT__GROUP_ID (kafka.client.group.id): belongs to the daemon: the group is part of the state's identity; set kafka.group_id",
        "environment: RINGBACK__HTTP__LISTEN (http.listen): 0.0.0.0 can be reached from other hosts, and there is no \
         `http.token`; set token = { env = \"NAME\" } under [http], or listen on 127.0.0.1",
    ];
    assert_eq!(folder.faults(), wanted);
}

#[test]
fn the_variables_of_the_process_are_read() {
    assert!(!crate::config::environment::of_process().is_empty());
    let folder = Folder::new("", "");
    Settings::load_with(&folder.path("ringback.toml"), &Variables::new()).unwrap();
}
