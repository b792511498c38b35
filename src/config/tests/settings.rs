//! The settings of `ringback.toml`, and its faults.

use super::{Folder, check, settings};
use crate::config::Settings;
use crate::delivery::{AddressPolicy, PerSecond};
use crate::domain::{OnReportTimeout, Phase2Order, Phase2Wait, StatusClass};
use std::path::Path;
use std::time::Duration;

#[test]
fn every_part_can_be_set() {
    let folder = Folder::new(
        r#"
        [topics]
        flow_complete = ["a", "b"]
        [schema_registry]
        url = "https://registry/"
        username = "u"
        password = { file = "secrets/registry" }
        [store]
        directory = "/var/lib/ringback"
        [http]
        listen = "[::]:9000"
        token = { env = "TOKEN" }
        endpoint_labels_max = 100
        [accounts]
        file = "secrets/../accounts.toml"
        [correlation]
        phase2_wait = "each"
        phase2_order = "independent"
        on_report_timeout = "notify"
        correlation_ttl_s = 1
        report_timeout_s = 2
        dedup_window_s = 3
        [statuses]
        final = ["GONE", "sent"]
        intermediate = ["EXPIRED"]
        [delivery]
        rate_per_second = 9
        in_flight_max_webhook = 4
        allow_addresses = ["127.0.0.0/8", "::1/128", "0.0.0.0/0"]
        proxy = "http://u:hush@proxy:3128"
        [delivery.breaker]
        failure_ratio = 1
        open_s = 1
        "#,
        "",
    );
    std::fs::create_dir(folder.path("secrets")).unwrap();
    let folder = folder.with("secrets/registry", "p\r\n").variable("TOKEN", "t");
    let (settings, _) = folder.loaded();
    assert_eq!(settings.topics.flow_complete, ["a", "b"]);
    let registry = settings.schema_registry.unwrap();
    assert_eq!(registry.username.as_deref(), Some("u"));
    assert_eq!(registry.password.unwrap().reveal(), "p");
    assert_eq!(settings.store.directory, Path::new("/var/lib/ringback"));
    assert_eq!(settings.http.listen.port(), 9000);
    assert_eq!(settings.http.token.unwrap().reveal(), "t");
    assert_eq!(settings.accounts_file, folder.path("secrets/../accounts.toml"));
    assert_eq!(settings.correlation.phase2_wait, Phase2Wait::Each);
    assert_eq!(settings.correlation.phase2_order, Phase2Order::Independent);
    assert_eq!(settings.correlation.on_report_timeout, OnReportTimeout::Notify);
    assert_eq!(settings.correlation.correlation_ttl_ms, 1000);
    assert_eq!(settings.correlation.report_timeout_ms, 2000);
    assert_eq!(settings.correlation.dedup_window_ms, 3000);
    assert_eq!(settings.statuses.read("gone").class, StatusClass::Final);
    assert_eq!(settings.statuses.read("EXPIRED").class, StatusClass::Intermediate);
    assert_eq!(settings.http.endpoint_labels_max, 100);
    assert_eq!(format!("{:?}", settings.delivery.defaults.proxy), "Some(http://proxy:3128)");
    assert_eq!(settings.delivery.rate_per_second, PerSecond::new(9.0));
    assert_eq!(settings.delivery.defaults.in_flight_max, 4);
    let opened = ["127.0.0.0/8", "::1/128", "0.0.0.0/0"].map(|network| network.parse().unwrap());
    assert_eq!(settings.delivery.addresses, AddressPolicy::new(opened));
    assert!((settings.delivery.defaults.breaker.failure_ratio - 1.0).abs() < f64::EPSILON);
    assert_eq!(settings.delivery.defaults.breaker.open, Duration::from_secs(1));
}

#[test]
fn a_name_server_may_have_a_port_and_an_old_connection_an_age() {
    let folder = Folder::new(
        r#"
        [delivery]
        connection_max_age_s = 60
        name_servers = ["10.0.0.2", "10.0.0.3:5353", "fd00::2", "[fd00::3]:54"]
        "#,
        "",
    );
    let (settings, _) = folder.loaded();
    let delivery = settings.delivery;
    assert_eq!(delivery.defaults.connection_max_age, Duration::from_secs(60));
    let name_servers: Vec<_> = delivery.name_servers.iter().map(ToString::to_string).collect();
    assert_eq!(name_servers, ["10.0.0.2:53", "10.0.0.3:5353", "[fd00::2]:53", "[fd00::3]:54"]);
}

#[test]
fn a_property_of_the_client_may_be_any_scalar_or_secret() {
    let folder = Folder::new(
        r#"
        [kafka.client]
        "security.protocol" = "SSL"
        socket.timeout.ms = 5000
        socket.keepalive.enable = true
        "linger.ms" = 0.5
        "sasl.password" = { file = "password" }
        ssl.key.password = { env = "KEY" }
        "#,
        "",
    );
    let (settings, _) = folder.with("password", "p\n").variable("KEY", "k").loaded();
    let client: Vec<_> = settings.kafka.client.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let wanted = [
        "linger.ms=0.5",
        "sasl.password=p",
        "security.protocol=SSL",
        "socket.keepalive.enable=true",
        "socket.timeout.ms=5000",
        "ssl.key.password=k",
    ];
    assert_eq!(client, wanted);
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    check(
        "kafk = 1\n[kafka]\nbootstrap_server = \"x\"\nattempts_max = 1\nwholly_unknown = 1\n[delivery.rety]\n",
        "",
        &[
            "ringback.toml:1: kafk: unknown key; did you mean `kafka`?",
            "ringback.toml:3: kafka.bootstrap_server: unknown key; did you mean `bootstrap_servers`?",
            "ringback.toml:4: kafka.attempts_max: unknown key; `attempts_max` is a key of `delivery`",
            "ringback.toml:5: kafka.wholly_unknown: unknown key; remove it; known here: bootstrap_servers, client, \
             commit_interval_ms, group_id, instance_id",
            "ringback.toml:6: delivery.rety: unknown key; did you mean `retry`?",
        ],
    );
}

#[test]
fn types_bounds_and_words_are_checked() {
    check(
        r#"store = 1
[kafka]
group_id = 5
instance_id = ""
commit_interval_ms = "100"
[kafka.client]
"a" = [1]
[topics]
flow_complete = 1
delivery_report = []
encoding = "avro"
[http]
token = 12345
[correlation]
phase2_wait = "al"
phase2_order = "whatever"
dedup_window_s = 0
[delivery]
request_timeout_ms = 60001
age_max_s = -1
attempts_max = 1.5
allow_addresses = [1, "10.0.0.1/8", "10.0.0.1", "fd00::1", "ten", "10.0.0.0/33", "a/8"]
connection_max_age_s = 0
name_servers = ["10.0.0.2", "10.0.0.2:", "dns.example", "fd00::2", "[fd00::2]:53", 53]
[delivery.retry]
multiplier = 0.5
randomization_factor = nan
initial_interval_ms = 10
interval_max_ms = 9
"#,
        "",
        &[
            "ringback.toml:1: store: is a whole number; write a table with directory or on_corruption",
            "ringback.toml:3: kafka.group_id: is a whole number; write text",
            "ringback.toml:4: kafka.instance_id: is empty; write some text, or remove the key",
            "ringback.toml:5: kafka.commit_interval_ms: is text; write a whole number from 1 to 10000",
            "ringback.toml:7: kafka.client.a: is a list; write text or a whole number or a number or true or false or a table",
            "ringback.toml:9: topics.flow_complete: is a whole number; write text or a list",
            "ringback.toml:10: topics.delivery_report: is an empty list; name at least one, or remove the key",
            "ringback.toml:11: topics.encoding: is not \"json\", the only value that is possible: events and dead letters are always JSON; remove the key",
            "ringback.toml:13: http.token: is a whole number; write text or a table with env or file",
            "ringback.toml:15: correlation.phase2_wait: unknown word `al`; did you mean `all`?",
            "ringback.toml:16: correlation.phase2_order: unknown word `whatever`; write one of strict, independent",
            "ringback.toml:17: correlation.dedup_window_s: is 0; write a whole number from 1 to 31536000",
            "ringback.toml:19: delivery.request_timeout_ms: is 60001; write a whole number from 1 to 60000",
            "ringback.toml:20: delivery.age_max_s: is -1; write a whole number from 1 to 31536000",
            "ringback.toml:21: delivery.attempts_max: is a number with a \
             fraction; write a whole number from 1 to 10000",
            "ringback.toml:22: delivery.allow_addresses[#1]: is a whole number; write text",
            "ringback.toml:22: delivery.allow_addresses[#2]: has bits behind its first 8; write \"10.0.0.0/8\"",
            "ringback.toml:22: delivery.allow_addresses[#3]: has no prefix length; write \"10.0.0.1/32\"",
            "ringback.toml:22: delivery.allow_addresses[#4]: has no prefix length; write \"fd00::1/128\"",
            "ringback.toml:22: delivery.allow_addresses[#5]: has no prefix length; write a network as in \
             \"10.0.0.0/8\" or \"fd00::/8\"",
            "ringback.toml:22: delivery.allow_addresses[#6]: /33 is longer than an address; write a network as in \
             \"10.0.0.0/8\" or \"fd00::/8\"",
            "ringback.toml:22: delivery.allow_addresses[#7]: is not a network; write a network as in \
             \"10.0.0.0/8\" or \"fd00::/8\"",
            "ringback.toml:23: delivery.connection_max_age_s: is 0; write a whole number from 1 to 86400",
            "ringback.toml:24: delivery.name_servers[#6]: is a whole number; write text",
            "ringback.toml:24: delivery.name_servers[#2]: is not an address; write one as in \"10.0.0.2\", \
             \"10.0.0.2:53\" or \"[fd00::2]:53\"",
            "ringback.toml:24: delivery.name_servers[#3]: is not an address; write one as in \"10.0.0.2\", \
             \"10.0.0.2:53\" or \"[fd00::2]:53\"",
            "ringback.toml:26: delivery.retry.multiplier: is 0.5; write a number from 1.0 to 100.0",
            "ringback.toml:27: delivery.retry.randomization_factor: is NaN; write a number from 0.0 to 1.0",
            "ringback.toml:29: delivery.retry.interval_max_ms: is shorter than `initial_interval_ms`; write 10 or more",
        ],
    );
}

#[test]
fn rules_beyond_the_schema_are_checked_too() {
    check(
        r#"[kafka]
bootstrap_servers = "a:9092,,b:0"
[kafka.client]
group.id = "x"
"enable.auto.commit" = true
[topics]
flow_complete = ["a", "a", "no good"]
events = "ringback.inbox"
dead_letter = "a"
[schema_registry]
url = "http://u:p@registry"
username = "u"
[http]
listen = "0.0.0.0:9464"
[statuses]
final = ["A"]
intermediate = ["a"]
[delivery]
proxy = "socks5://u:hush@proxy"
"#,
        "",
        &[
            "ringback.toml:2: kafka.bootstrap_servers: is not a list of servers; write host:port, comma separated",
            "ringback.toml:4: kafka.client.group.id: belongs to the daemon: the group is part of the state's identity; set \
             kafka.group_id",
            "ringback.toml:5: kafka.client.enable.auto.commit: belongs to the daemon: offsets are committed with the \
             state, and committing them separately would lose records; remove it",
            "ringback.toml:6: topics.inbox: `ringback.inbox` is the topic of `events` too; give each role a topic of \
             its own",
            "ringback.toml:7: topics.flow_complete: lists `a` twice; list it once",
            "ringback.toml:7: topics.flow_complete: is not a topic's name; use 1 to 249 letters, digits, dots, hyphens \
             and underscores",
            "ringback.toml:9: topics.dead_letter: `a` is the topic of `flow_complete` too; give each role a topic of \
             its own",
            "ringback.toml:10: schema_registry: has only one of `username` and `password`; set both or neither",
            "ringback.toml:11: schema_registry.url: holds credentials, which would show in logs; move them to \
             `username` and `password`",
            "ringback.toml:14: http.listen: 0.0.0.0 can be reached from other hosts, and there is no `http.token`; set \
             token = { env = \"NAME\" } under [http], or listen on 127.0.0.1",
            "ringback.toml:17: statuses.intermediate[#1]: `a` is also in the list of final words; keep it in one of \
             the two lists",
            "ringback.toml:19: delivery.proxy: is not an http:// proxy, the only supported kind; write it as in \
             \"http://proxy.example:3128\"",
        ],
    );
    check(
        "[schema_registry]\n[http]\nlisten = \"localhost:1\"\ntoken = \"with space\"",
        "",
        &[
            "ringback.toml:1: schema_registry.url: is missing; add `url`: text",
            "ringback.toml:3: http.listen: is not an address and a port; write them as in \"127.0.0.1:9464\" or \
             \"[::]:9464\"",
            "ringback.toml:4: http.token: is empty, or has spaces or letters beyond ASCII; make one, for example with \
             `openssl rand -hex 32`",
        ],
    );
}

#[test]
fn an_unavailable_secret_is_a_fault_of_its_key() {
    let listen = "[http]\nlisten = \"0.0.0.0:1\"\n";
    for (token, wanted) in [
        (
            "{ env = \"NOT_SET\" }",
            "ringback.toml:3: http.token: the environment variable `NOT_SET` is not set; set it, or write { file = \
             \"PATH\" }",
        ),
        (
            "{ file = \"missing\" }",
            "ringback.toml:3: http.token.file: cannot read missing: No such file or directory (os error 2); name a \
             file that this user may read",
        ),
        (
            "{ env = \"A\", file = \"b\" }",
            "ringback.toml:3: http.token: must name either `env` or `file`; write { env = \"NAME\" } or { file = \
             \"PATH\" }",
        ),
        (
            "{}",
            "ringback.toml:3: http.token: must name either `env` or `file`; write { env = \"NAME\" } or { file = \
             \"PATH\" }",
        ),
        (
            "{ envv = \"A\", file = \"b\" }",
            "ringback.toml:3: http.token.envv: unknown key; did you mean `env`?",
        ),
    ] {
        let faults = Folder::new(&format!("{listen}token = {token}"), "").faults();
        assert_eq!(faults.first().map(String::as_str), Some(wanted));
    }
}

#[test]
fn numbers_may_be_written_as_toml_allows() {
    let settings = settings(
        "[delivery]\nattempts_max = 1_000\nin_flight_max = 0x10\nage_max_s = +5\n[delivery.retry]\nmultiplier = 2\n\
         randomization_factor = 1e-1\n",
    );
    let delivery = settings.delivery;
    assert_eq!((delivery.defaults.bounds.attempts_max, delivery.in_flight_max), (1000, 16));
    assert_eq!(delivery.defaults.bounds.age_max, Duration::from_secs(5));
    assert!((delivery.defaults.retry.randomization_factor - 0.1).abs() < f64::EPSILON);
    check(
        "\"a\\nb\" = 1\n[delivery]\nattempts_max = 99999999999999999999\n",
        "",
        &[
            "ringback.toml:1: a\\nb: unknown key; remove it; known here: accounts, catalogue, correlation, delivery, http, kafka, \
             schema_registry, sink, statuses, store, topics, traces",
            "ringback.toml:3: delivery.attempts_max: is a number of more than 64 bits; write a whole number from 1 to \
             10000",
        ],
    );
}

#[test]
fn a_file_that_is_no_toml_has_one_fault_with_its_line() {
    let faults = Folder::new("[kafka]\npassword = \"hush\n", "").faults();
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert!(fault.starts_with("ringback.toml:2: is not TOML: "), "{fault}");
    assert!(!fault.contains("hush"), "{fault}");
    let Err(faults) = Settings::load(Path::new("no/such/ringback.toml")) else { panic!("no file") };
    assert!(faults.to_string().starts_with("no/such/ringback.toml: cannot be read: "), "{faults}");
}

#[test]
fn debug_output_shows_no_secret() {
    let settings = settings("[http]\ntoken = \"hush\"");
    assert!(!format!("{settings:?}").contains("hush"));
}

#[test]
fn a_database_of_accounts_needs_a_good_url_and_no_fault_quotes_it() {
    let check = |text: &str, wanted: &str| {
        let text = format!("[accounts]\nsource = \"mysql\"\n{text}");
        let faults = Folder::new(&text, "").faults().join("\n");
        assert!(faults.contains(wanted) && !faults.contains("hush"), "{text}: {faults}");
    };
    check("", "ringback.toml:2: accounts.source: needs the section [accounts.mysql]");
    check("[accounts.mysql]\n", "accounts.mysql.url: is missing");
    check(
        "[accounts.mysql]\nurl = \"mysql://u@h/d\"\ntls = \"off\"\nca_file = \"ringback.toml\"\n",
        "accounts.mysql.ca_file: has no effect, because the connection does not use TLS; remove it, or set tls = \"required\"",
    );
    for (url, problem) in [
        ("postgres://u:hush@h/d", "does not begin with mysql://"),
        ("mysql://u:hush@h", "names no database"),
        ("mysql://u:hush@h/d?x=1", "has a query or a fragment"),
        ("no url hush", "is not a URL"),
    ] {
        check(
            &format!("[accounts.mysql]\nurl = \"{url}\"\n"),
            &format!("accounts.mysql.url: {problem}"),
        );
    }
    let good = "[accounts]\nsource = \"mysql\"\n[accounts.mysql]\nurl = \"mysql://u:hush@h/d\"\n";
    let settings = settings(good);
    assert!(settings.accounts_database.is_some_and(|database| database.tls.is_some()));
    // The ready query of the version knows only the ready tables.
    let own = settings_of(&format!("{good}rules_query = \"SELECT 1\"\n"));
    assert!(own.queries.version.is_none());
    let own =
        settings_of(&format!("{good}rules_query = \"SELECT 1\"\nversion_query = \"SELECT 2\"\n"));
    assert_eq!(own.queries.version.as_deref(), Some("SELECT 2"));
}

fn settings_of(text: &str) -> crate::accounts::DatabaseSettings {
    settings(text).accounts_database.expect("a database")
}
