//! Commands that run once and end.

use crate::harness::broker;
use crate::harness::check::{Then, check};
use crate::harness::child::{free_port, run_dir};
use crate::harness::daemon::command;
use crate::harness::samples::{flow, phase_1};
use crate::harness::stage::Stage;
use base64::Engine as _;

const EX_TEMPFAIL: i32 = 75;
const EX_CONFIG: i32 = 78;

#[test]
fn check_counts_accounts_and_webhooks_and_needs_no_kafka() {
    let mut stage = Stage::without_topics(broker::shared(), "commands-check");
    stage.set("kafka.bootstrap_servers", format!("127.0.0.1:{}", free_port()));
    let done = stage.command(&["check"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("1 accounts and 1 webhooks"), "{done:?}");
    let done = stage.command(&["check", "--online"]);
    assert_eq!(done.code, Some(EX_TEMPFAIL), "Kafka can't be reached: {done:?}");
}

#[test]
fn check_online_names_each_missing_topic() {
    let stage = Stage::without_topics(broker::shared(), "commands-online");
    let done = stage.command(&["check", "--online"]);
    assert_eq!(done.code, Some(EX_CONFIG), "{done:?}");
    for kind in ["flow-complete", "changelog", "inbox", "events", "dead-letter"] {
        assert!(done.err.contains(&stage.topic(kind)), "{kind}: {done:?}");
    }
}

#[test]
fn topics_are_created_and_repaired_and_then_the_daemon_runs() {
    let stage = Stage::without_topics(broker::shared(), "commands-topics");
    let names = ["flow-complete", "sms-delivery-report", "changelog"].map(|kind| stage.topic(kind));
    let plain: &[(&str, &str)] = &[];
    // This setting is correct and differs from the broker's default. A repair of another setting must not change it.
    let changelog: &[(&str, &str)] = &[("segment.ms", "123456")];
    stage.kafka.create_topics(&[
        (names[0].as_str(), 3, plain),
        (names[1].as_str(), 2, plain),
        (names[2].as_str(), 3, changelog),
    ]);
    let shown = stage.command(&["topics"]);
    assert_eq!(shown.code, Some(1), "{shown:?}");
    assert!(shown.out.contains("cleanup.policy is delete and must be compact"), "{shown:?}");
    assert!(shown.out.contains("missing"), "{shown:?}");
    let done = stage.command(&["topics", "--create", "--mend"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(stage.kafka.topic_setting(&names[2], "cleanup.policy").as_deref(), Some("compact"));
    assert_eq!(stage.kafka.topic_setting(&names[2], "segment.ms").as_deref(), Some("123456"));
    assert_eq!(stage.kafka.partitions(&stage.topic("inbox")), 3, "the changelog also has 3");
    let letters = stage.topic("dead-letter");
    assert_eq!(stage.kafka.topic_setting(&letters, "retention.ms").as_deref(), Some("-1"));
    let flow = flow("created", &[]);
    let then = Then::default().delivered(phase_1(&flow)).event("correlation_ended");
    check(&stage, |scene| scene.flows(&[flow]), then);
}

/// The number of the changelog's partitions can't be changed later.
#[test]
fn the_changelog_is_not_created_before_the_inputs_show_its_size() {
    let stage = Stage::without_topics(broker::shared(), "commands-early");
    let done = stage.command(&["topics", "--create"]);
    assert_eq!(done.code, Some(EX_CONFIG), "a retry would not help: {done:?}");
    assert!(done.err.contains("create them first"), "{done:?}");
    let shown = stage.command(&["topics"]);
    assert!(shown.out.contains("missing"), "nothing was created: {shown:?}");
}

/// librdkafka knows the property and rejects its value, whichever command creates the client.
#[test]
fn a_wrong_property_is_a_wrong_configuration_for_every_command() {
    let mut stage = Stage::without_topics(broker::shared(), "commands-property");
    stage.set("kafka.client", toml::Table::from_iter([("compression.type".into(), "no".into())]));
    for arguments in [
        &["run"][..],
        &["check"],
        &["check", "--online"],
        &["topics"],
        &["topics", "--create"],
        &["topics", "--mend"],
        &["trace", "u-1"],
        &["verify"],
        &["dead-letter", "list"],
        &["dead-letter", "show", "0:1"],
        &["dead-letter", "replay", "--yes"],
        &["webhook", "list"],
        &["webhook", "enable", "crm", "--yes"],
        &["webhook", "test", "crm"],
        &["offsets", "show"],
        &["changelog", "rebuild", "--yes"],
    ] {
        let done = stage.command(arguments);
        assert_eq!(done.code, Some(EX_CONFIG), "{arguments:?}: {done:?}");
    }
}

#[test]
fn each_new_secret_is_valid_and_different() {
    let [one, other] = [(); 2].map(|()| command(&["secret", "new"]));
    assert_eq!((one.code, other.code), (Some(0), Some(0)));
    assert_ne!(one.out, other.out);
    let encoded = one.out.trim_end().strip_prefix("whsec_").expect("the prefix");
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64");
    assert_eq!(bytes.len(), 32);
}

/// Only the private key goes to stdout, so that stdout can be written to the secret's file.
#[test]
fn a_new_key_pair_is_a_private_line_on_stdout_and_a_public_line_on_stderr() {
    let [one, other] = [(); 2].map(|()| command(&["secret", "new", "--ed25519"]));
    assert_eq!((one.code, other.code), (Some(0), Some(0)));
    assert_ne!(one.out, other.out);
    let decode = |text: &str, prefix| {
        let encoded = text.trim_end().strip_prefix(prefix).expect("the prefix");
        base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64")
    };
    let (private, public) = (decode(&one.out, "whsk_"), decode(&one.err, "whpk_"));
    assert_eq!((private.len(), public.len()), (64, 32));
    assert_eq!(
        private[32..],
        public,
        "the seed and the public key, like the reference implementation"
    );
}

#[test]
fn help_ends_with_an_example_and_wrong_usage_exits_with_2() {
    for arguments in [
        &["run"][..],
        &["check"],
        &["topics"],
        &["demo"],
        &["secret", "new"],
        &["completions"],
        &["init"],
        &["send"],
        &["healthcheck"],
        &["man"],
        &["trace"],
        &["webhook", "test"],
        &["webhook", "list"],
        &["webhook", "enable"],
        &["webhook"],
        &["dead-letter"],
        &["changelog"],
        &["offsets"],
        &["secret"],
        &["sink"],
        &["sink", "mongodb"],
    ] {
        let done = command(&[arguments, &["--help"]].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.out.contains("Example:\n  "), "{arguments:?}: {}", done.out);
    }
    assert_eq!(command(&["ruin"]).code, Some(2));
    let pages = run_dir().join("man-pages");
    assert_eq!(command(&["man", pages.to_str().expect("UTF-8")]).code, Some(0));
    let page = std::fs::read_to_string(pages.join("ringback-webhook-test.1")).expect("a page");
    assert!(page.contains("Example:") && page.contains(".SH OPTIONS"), "{page}");
    let completions = command(&["completions", "bash"]);
    assert!(completions.out.contains("_ringback"), "{completions:?}");
}
