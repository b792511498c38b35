//! `[kafka.client]`: properties that users may not set, and inconsistent ones.

use super::{Folder, check, settings};

/// Returns the faults of a file with these lines under `[kafka.client]`, without the file's name.
fn faults(lines: &str) -> Vec<String> {
    let faults = Folder::new(&format!("[kafka.client]\n{lines}\n"), "").faults();
    faults.into_iter().map(|fault| fault.replacen("ringback.toml:", "", 1)).collect()
}

/// Checks that there is exactly one fault, with each of these parts.
#[track_caller]
fn refused(lines: &str, parts: &[&str]) {
    let faults = faults(lines);
    let [fault] = faults.as_slice() else { panic!("{lines}: {faults:?}") };
    for part in parts {
        assert!(fault.contains(part), "{part:?} in {fault}");
    }
}

#[test]
fn properties_that_the_guarantees_need_can_not_be_set() {
    for (name, value) in [
        ("auto.offset.reset", "latest"),
        ("auto.offset.reset", "error"),
        ("auto.offset.reset", "earliest"),
        ("group.protocol", "consumer"),
        ("group.remote.assignor", "uniform"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("isolation.level", "read_uncommitted"),
        ("enable.auto.commit", "true"),
        ("auto.commit.enable", "true"),
        ("enable.idempotence", "false"),
        ("enable.gapless.guarantee", "true"),
        ("acks", "1"),
        ("request.required.acks", "0"),
        ("transactional.id", "mine"),
        ("partitioner", "random"),
        ("metadata.broker.list", "elsewhere:9092"),
        ("bootstrap.servers", "elsewhere:9092"),
        ("allow.auto.create.topics", "true"),
        ("topic.blacklist", "flow"),
        ("plugin.library.paths", "/tmp/evil.so"),
        ("statistics.interval.ms", "0"),
        ("queuing.strategy", "lifo"),
        ("rebalance_cb", "1"),
        ("GROUP.ID", "x"),
        ("group.id", "x"),
        ("group.instance.id", "x"),
        ("group.protocol.type", "connect"),
        ("auto.commit.interval.ms", "1"),
        ("enable.auto.offset.store", "true"),
        ("offset.store.method", "file"),
        ("offset.store.path", "/tmp"),
        ("offset.store.sync.interval.ms", "1"),
        ("enable.partition.eof", "false"),
        ("queue.buffering.backpressure.threshold", "2"),
        ("partitioner_cb", "1"),
        ("msg_order_cmp", "1"),
        ("delivery.report.only.error", "true"),
        ("interceptors", "1"),
        ("internal.termination.signal", "9"),
        ("enabled_events", "1"),
        ("log.queue", "true"),
        ("oauthbearer_token_refresh_cb", "1"),
        ("ssl.certificate.verify_cb", "1"),
        ("consume.callback.max.messages", "1"),
        ("api.version.request", "false"),
        ("api.version.fallback.ms", "1"),
        ("broker.version.fallback", "0.9.0"),
        ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("sasl.kerberos.service.name", "kafka"),
        ("sasl.kerberos.principal", "x"),
        ("sasl.kerberos.kinit.cmd", "x"),
        ("sasl.kerberos.keytab", "x"),
        ("sasl.kerberos.min.time.before.relogin", "1"),
    ] {
        let line = format!("\"{name}\" = \"{value}\"");
        refused(&line, &[&format!("2: kafka.client.{name}: belongs to the daemon: "), "; "]);
    }
}

#[test]
fn unknown_properties_name_the_nearest_known_one() {
    refused("\"auto.ofset.reset\" = \"latest\"", &["did you mean `auto.offset.reset`?"]);
    refused("\"sesion.timeout.ms\" = 6000", &["2: ", "did you mean `session.timeout.ms`?"]);
    refused("\"Client.Rack\" = \"a\"", &["did you mean `client.rack`?"]);
    refused("\"wholly.unknown\" = 1", &["unknown property of librdkafka"]);
}

#[test]
fn numbers_have_the_bounds_that_the_daemon_needs() {
    for (line, why) in [
        ("\"receive.message.max.bytes\" = 1000000", "a dead letter of 16 MiB could not be read"),
        ("\"queue.buffering.max.kbytes\" = 1024", "a dead letter of 16 MiB would wait for ever"),
        ("\"topic.metadata.refresh.interval.ms\" = -1", "new partitions would never be found"),
        ("\"max.in.flight\" = 100", "transactions allow no more than 5"),
        ("retries = 0", "a single lost answer would fail the transaction"),
        ("\"fetch.wait.max.ms\" = 300000", "a restore would not see the end"),
        ("\"transaction.timeout.ms\" = 86400000", "Kafka allows at most 15 minutes"),
        ("\"session.timeout.ms\" = \"soon\"", "is not a whole number"),
    ] {
        refused(line, &[why, "write a whole number from "]);
    }
}

/// Each number is checked at its lower and its upper bound. Other pairs of them may be inconsistent.
#[test]
fn every_bound_is_kept_at_both_ends() {
    for (name, least, most) in [
        ("receive.message.max.bytes", 20_972_032, i64::from(i32::MAX)),
        ("fetch.wait.max.ms", 0, 10_000),
        ("queue.buffering.max.kbytes", 20_480, i64::from(i32::MAX)),
        ("queue.buffering.max.messages", 1000, i64::from(i32::MAX)),
        ("topic.metadata.refresh.interval.ms", 1, 3_600_000),
        ("max.in.flight.requests.per.connection", 1, 5),
        ("message.send.max.retries", 1, i64::from(i32::MAX)),
        ("socket.timeout.ms", 1000, 300_000),
        ("request.timeout.ms", 1000, 900_000),
        ("session.timeout.ms", 1, 3_600_000),
        ("heartbeat.interval.ms", 1, 3_600_000),
        ("max.poll.interval.ms", 1, 86_400_000),
        ("transaction.timeout.ms", 1000, 900_000),
        ("message.timeout.ms", 1000, 900_000),
    ] {
        let wanted = format!("write a whole number from {least} to {most}");
        for beyond in [least - 1, most + 1] {
            refused(&format!("\"{name}\" = {beyond}"), &[&format!("is {beyond}: "), &wanted]);
        }
        for within in [least, most] {
            let line = format!("[kafka.client]\n\"{name}\" = {within}\n");
            if let Err(faults) = Folder::new(&line, "").load() {
                assert!(!faults.to_string().contains(&wanted), "{faults}");
            }
        }
    }
}

#[test]
fn times_and_sizes_must_be_consistent_with_each_other_and_the_defaults() {
    for (line, parts) in [
        ("\"session.timeout.ms\" = 3000", "`heartbeat.interval.ms` has its default 3000"),
        ("\"heartbeat.interval.ms\" = 20000", "`session.timeout.ms` has its default 10000"),
        ("\"max.poll.interval.ms\" = 5000", "`session.timeout.ms` has its default 10000"),
        ("\"socket.timeout.ms\" = 60000", "`transaction.timeout.ms` has its default 10000"),
        ("\"delivery.timeout.ms\" = 120000", "`transaction.timeout.ms` has its default 10000"),
        ("\"linger.ms\" = 20000", "a transaction would time out before its records are sent"),
        ("\"fetch.max.bytes\" = 8192", "`message.max.bytes` has its default 1000000"),
        ("\"reconnect.backoff.ms\" = 5000", "the first pause would be longer than the longest"),
        (
            "\"linger.ms\" = 6000\n\"delivery.timeout.ms\" = 5000",
            "records would time out before they are sent",
        ),
        (
            "\"fetch.max.bytes\" = 200000000\n\"receive.message.max.bytes\" = 200000511",
            "an answer would not fit with its frame",
        ),
    ] {
        refused(line, &["kafka.client.", parts, "; set `"]);
    }
    settings(
        "[kafka.client]\n\"session.timeout.ms\" = 45000\n\"transaction.timeout.ms\" = 60000\n\
         \"socket.timeout.ms\" = 60000\n\"linger.ms\" = 5\nretries = 10\n\"compression.type\" = \"zstd\"\n\
         \"max.partition.fetch.bytes\" = 1048576\n\"client.rack\" = \"a\"\ndebug = \"broker\"\n",
    );
}

#[test]
fn two_names_of_one_property_are_refused() {
    refused(
        "retries = 5\n\"message.send.max.retries\" = 6",
        &["2: kafka.client.retries: `message.send.max.retries` is the same property", "keep one"],
    );
}

#[test]
fn sasl_needs_a_mechanism_and_its_credentials() {
    refused("\"security.protocol\" = \"SASL_SSL\"", &["`sasl.mechanism` is not set", "PLAIN"]);
    let sasl = "\"security.protocol\" = \"SASL_PLAINTEXT\"\n\"sasl.mechanism\" = ";
    refused(&format!("{sasl}\"GSSAPI\""), &["is not a mechanism of this build"]);
    refused(&format!("{sasl}\"OAUTHBEARER\""), &["needs a method that fetches its tokens", "oidc"]);
    refused(
        &format!("{sasl}\"PLAIN\"\n\"sasl.username\" = \"u\""),
        &["`sasl.password` is missing"],
    );
    refused(
        &format!("{sasl}\"PLAIN\"\n\"sasl.password\" = \"p\""),
        &["`sasl.username` is missing"],
    );
    let plain =
        "\"sasl.mechanism\" = \"PLAIN\"\n\"sasl.username\" = \"u\"\n\"sasl.password\" = \"p\"";
    refused(plain, &["has no effect without SASL", "SASL_SSL"]);
    refused(&format!("\"security.protocol\" = \"SSL\"\n{plain}"), &["has no effect without SASL"]);
    let oidc = format!("{sasl}\"OAUTHBEARER\"\n\"sasl.oauthbearer.method\" = \"oidc\"\n");
    let endpoint = "\"sasl.oauthbearer.token.endpoint.url\" = ";
    refused(&format!("{oidc}{endpoint}\"ftp://a/\""), &["is not an http or https URL"]);
    // librdkafka's own text, with a name that is not set.
    refused(
        &format!("{oidc}{endpoint}\"http://127.0.0.1:1/\"\n\"sasl.oauthbearer.client.id\" = \"c\""),
        &["librdkafka refuses it", "`sasl.oauthbearer.client.secret` is not set in [kafka.client]"],
    );
}

#[test]
fn an_error_of_librdkafka_is_a_fault_of_the_file_and_shows_no_secret() {
    refused(
        "\"security.protocol\" = \"TLS\"",
        &["2: kafka.client.security.protocol: ", "librdkafka refuses it"],
    );
    refused("\"client.rack\" = \"a\\u0000b\"", &["librdkafka refuses it"]);
    // A property of producers only, and one of consumers only.
    refused(
        "\"compression.type\" = \"rar\"",
        &["kafka.client.compression.type: librdkafka refuses"],
    );
    refused("\"check.crcs\" = \"perhaps\"", &["kafka.client.check.crcs: librdkafka refuses it"]);
    let lines = "\"security.protocol\" = \"SSL\"\n\"ssl.key.pem\" = \"hush-key\"\n\
                 \"ssl.ca.location\" = \"/no/such/file\"\n\"ssl.key.password\" = \"hush-password\"";
    let faults = faults(lines);
    assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.contains("hush")), "{faults:?}");
    assert!(faults.iter().all(|fault| fault.contains("kafka.client")), "{faults:?}");
}

#[test]
fn secrets_may_be_referred_to() {
    check(
        "[kafka.client]\n\"sasl.oauthbearer.client.secret\" = { env = \"NOT_SET\" }\n",
        "",
        &[
            "ringback.toml:2: kafka.client.sasl.oauthbearer.client.secret: the environment variable `NOT_SET` is not set; \
           set it, or write { file = \"PATH\" }",
        ],
    );
}
