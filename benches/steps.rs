//! Measures the single steps of a webhook's processing on the samples. The end-to-end benchmark measures them together.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark ends by panicking"
)]

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use criterion::{BatchSize, Criterion};
use ringback::codec::event::{EventContext, write_event};
use ringback::codec::row;
use ringback::codec::source::{Decoded, Decoder};
use ringback::definition::{Defined, body};
use ringback::delivery::{SigningSecret, sign};
use ringback::domain::{
    AccountId, AccountPolicy, Command, Condition, CorrelationPolicy, DeadLetterReason, DeliveryId,
    DeliveryReport, Due, FlowComplete, OnReportTimeout, Outcome, Phase, Phase2Order, Phase2Wait,
    PhononUuid, Policy, RecordKind, RetrySchedule, Rule, Source, State, Test, Timestamp, Trigger,
    Verdict, WebhookName, WebhookPolicy, decide, evolve,
};
use ringback::store::{Checkpoint, Derived, Store};
use ringback::telemetry::{Format, Health, Metrics, STALL_DEADLINE};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const FLOW: &str = include_str!("../tests/ringback/samples/flow-complete.json");
const REPORT: &str = include_str!("../tests/ringback/samples/sms-delivery-report.json");
const FLOW_SCHEMA: &str = include_str!("../schemas/flow-complete.avsc");
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);
const ROWS: usize = 500;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    decoding(&mut criterion);
    deciding(&mut criterion);
    judging(&mut criterion);
    writing(&mut criterion);
    committing(&mut criterion);
    measuring(&mut criterion);
    criterion.final_summary();
}

/// Counting, and a scrape of 200 partitions and 200 of 2,000 webhooks.
fn measuring(criterion: &mut Criterion) {
    const TOPICS: [&str; 4] = ["flow-complete", "sms-delivery-report", "call-begin", "inbox"];
    let metrics = Metrics::with_webhooks(&TOPICS.map(str::to_owned), 200);
    let health = Health::new(STALL_DEADLINE);
    let name = |number: usize| WebhookName::new(&format!("account-{number:05}-notify"));
    let names: Vec<WebhookName> = (0..2000).filter_map(name).collect();
    let trace = DeliveryId::from_bytes([7; 16]).trace_id();
    let Command::RecordOutcome { outcome, .. } = Stages::new(&policy()).outcome else { panic!() };
    for (number, name) in names.iter().enumerate() {
        let number = u32::try_from(number).unwrap_or(1) % 2 + 1;
        metrics.attempt((name, Phase::One), (trace, number), &outcome, NOW);
        metrics.delivered((name, Phase::One), trace, Duration::from_secs(1), NOW);
        metrics.dead_delivery(name, Phase::Two, DeadLetterReason::Refused);
    }
    metrics.set_endpoints(names.iter(), |_| true, &BTreeMap::new(), &[]);
    for partition in 0..200 {
        health.assign(partition);
        health.restored(partition);
        for topic in TOPICS {
            metrics.set_consumer_lag(topic, partition, 1_234_567);
            metrics.set_unread_since(topic, partition, Some(NOW));
        }
    }
    metrics.set_store_bytes(&(0..200).map(|partition| (partition, 123_456_789)).collect());
    health.publish(&*metrics);
    for (format, text) in [(Format::Text, "text"), (Format::OpenMetrics, "OpenMetrics")] {
        let bytes = metrics.render(format, NOW).len();
        println!("a scrape as {text}: {bytes} bytes");
        criterion.bench_function(&format!("metrics/scrape, {text}"), |bencher| {
            bencher.iter(|| metrics.render(format, NOW));
        });
    }
    criterion.bench_function("metrics/attempt and delivery", |bencher| {
        let name = &names[100];
        bencher.iter(|| {
            metrics.attempt((name, Phase::One), (trace, 1), black_box(&outcome), NOW);
            metrics.delivered((name, Phase::One), trace, Duration::from_millis(3), NOW);
        });
    });
}

fn decoding(criterion: &mut Criterion) {
    let mut decoder = Decoder::new(false);
    let avro = avro_flow();
    for (name, kind, record) in [
        ("decode/flow, JSON", RecordKind::Flow, FLOW.as_bytes()),
        ("decode/report, JSON", RecordKind::Report, REPORT.as_bytes()),
        ("decode/flow, Avro", RecordKind::Flow, &avro),
    ] {
        let readable =
            matches!(decoder.decode(kind, record), Decoded::Flow(_) | Decoded::Report(_));
        assert!(readable, "{name}: the sample is no source event");
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| decoder.decode(kind, black_box(record)));
        });
    }
}

fn deciding(criterion: &mut Criterion) {
    let policy = policy();
    let stages = Stages::new(&policy);
    for (name, state, command) in [
        ("flow", &stages.empty, &stages.flow),
        ("report", &stages.after_flow, &stages.report),
        ("outcome", &stages.after_report, &stages.outcome),
    ] {
        criterion.bench_function(&format!("decide/{name}"), |bencher| {
            bencher.iter(|| decide(black_box(state), black_box(command), &policy, NOW));
        });
        let events = decide(state, command, &policy, NOW);
        assert!(!events.is_empty(), "{name}: no event was decided");
        criterion.bench_function(&format!("evolve/{name}"), |bencher| {
            bencher.iter_batched(
                || state.clone(),
                |state| events.iter().fold(state, evolve),
                BatchSize::SmallInput,
            );
        });
        let mut out = Vec::with_capacity(8 << 10);
        criterion.bench_function(&format!("events/{name}"), |bencher| {
            bencher.iter(|| {
                out.clear();
                let context =
                    EventContext { uuid: &stages.uuid, account: Some(AccountId(28)), at: NOW };
                for event in &events {
                    write_event(&mut out, &context, black_box(state), event);
                }
                out.len()
            });
        });
    }
}

/// A rule with 50 conditions over a record of 4 MiB.
fn judging(criterion: &mut Criterion) {
    let mut policy = policy();
    let present = Condition { variable: "$flow.key.type".into(), test: Test::Present(true) };
    let rule = Rule {
        on: vec![Trigger::FlowComplete],
        when: vec![present; 50],
        webhook: WebhookName::new("crm").expect("a name"),
        after: None,
        any_flow: false,
    };
    let account = policy.accounts.get_mut(&AccountId(28)).expect("the account");
    account.rules = vec![(None, rule)];
    account.uses_variables = true;
    let record = format!(
        r#"{{"pad":"{}","keys":[{{"name":"$flow.key.type","value":"a"}}]}}"#,
        "x".repeat(4 << 20)
    );
    let flow = FlowComplete { record: record.into(), ..*decoded_flow() };
    let source = Source {
        topic: "flow-complete".into(),
        partition: 1,
        offset: 0,
        timestamp: NOW,
        index: None,
        trace: None,
    };
    let command = Command::AcceptFlow(Box::new(flow), source);
    let state = State::default();
    criterion.bench_function("decide/flow, 50 conditions over 4 MiB", |bencher| {
        let events = decide(&state, &command, &policy, NOW);
        assert!(events.len() > 2, "the rule fires");
        bencher.iter(|| decide(black_box(&state), black_box(&command), &policy, NOW));
    });
}

fn writing(criterion: &mut Criterion) {
    let stages = Stages::new(&policy());
    let report = Bytes::from_static(REPORT.as_bytes());
    let keys = Bytes::from_static(br#"[{"name":"$flow.key.type","value":"template"}]"#);
    criterion.bench_function("render phase 2", |bencher| {
        let reports = [report.clone()];
        bencher
            .iter(|| body::render_phase2(stages.uuid.as_str(), black_box(&reports), Some(&keys)));
    });
    let secrets = [SigningSecret::parse(SECRET).expect("a secret")];
    let id = stages.after_flow.deliveries.first().expect("phase 1 is scheduled").id.to_string();
    criterion.bench_function("sign", |bencher| {
        bencher.iter(|| sign(&secrets, &id, "1700000000", black_box(FLOW.as_bytes())));
    });
    let mut out = Vec::with_capacity(8 << 10);
    criterion.bench_function("row/encode", |bencher| {
        bencher.iter(|| {
            out.clear();
            row::encode_state(black_box(&stages.after_report), &mut out);
            out.len()
        });
    });
    let encoded = encoded(&stages.after_report);
    criterion.bench_function(&format!("row/decode {} bytes", encoded.len()), |bencher| {
        bencher
            .iter(|| row::decode_state(black_box(&encoded)).expect("a row that was encoded here"));
    });
}

/// Commits the rows of a batch to the store, each as the successor of an older row, with the checkpoint.
fn committing(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(directory.path()).expect("a store");
    let partition = store.partition(0).expect("a partition");
    let stages = Stages::new(&policy());
    let encoded = encoded(&stages.after_report);
    let (old, new) = (Derived::of(&stages.after_flow), Derived::of(&stages.after_report));
    let mut number = 0_u64;
    criterion.bench_function(&format!("commit {ROWS} rows"), |bencher| {
        bencher.iter(|| {
            let mut batch = partition.batch(0);
            for _ in 0..ROWS {
                number += 1;
                let uuid =
                    PhononUuid::new(&format!("bd706f90-aa14-47ea-9844-{:012x}", number % 50_000));
                let uuid = uuid.expect("a uuid");
                batch.put(&partition, &uuid, &old, &new, &encoded);
            }
            batch.put_checkpoint(&partition, Checkpoint::default());
            partition.commit(&mut batch).expect("the store can be written");
        });
    });
}

/// The states of a flow, and the commands that lead from one to the next.
struct Stages {
    uuid: PhononUuid,
    empty: State,
    flow: Command,
    after_flow: State,
    report: Command,
    after_report: State,
    outcome: Command,
}

impl Stages {
    fn new(policy: &Policy) -> Self {
        let (flow, report) = (decoded_flow(), decoded_report());
        let uuid = flow.uuid.clone();
        let source = |topic: &str| Source {
            topic: topic.into(),
            partition: 1,
            offset: 123_456,
            timestamp: NOW,
            index: None,
            trace: None,
        };
        let flow = Command::AcceptFlow(flow, source("flow-complete"));
        let report = Command::AcceptReport(report, source("sms-delivery-report"));
        let after = |state: &State, command: &Command| {
            decide(state, command, policy, NOW).iter().fold(state.clone(), evolve)
        };
        let empty = State::default();
        let after_flow = after(&empty, &flow);
        let after_report = after(&after_flow, &report);
        let first = after_report.deliveries.iter().find(|row| row.phase == Phase::One);
        let first = first.expect("phase 1 is scheduled");
        assert!(matches!(first.due, Due::At(_)), "phase 1 waits for nothing");
        let outcome = Outcome {
            verdict: Verdict::Delivered,
            status: Some(200),
            duration_ms: 12,
            response: Bytes::new(),
            response_truncated: false,
            retry_after_ms: None,
            mapped: Default::default(),
            reason: None,
            error: None,
            disables: false,
        };
        let outcome = Command::RecordOutcome { delivery: first.id, attempt: 1, outcome };
        Self { uuid, empty, flow, after_flow, report, after_report, outcome }
    }
}

fn decoded_flow() -> Box<FlowComplete> {
    match Decoder::new(false).decode(RecordKind::Flow, FLOW.as_bytes()) {
        Decoded::Flow(flow) => flow,
        other @ (Decoded::Start(_)
        | Decoded::Report(_)
        | Decoded::Items(_)
        | Decoded::Skipped
        | Decoded::NeedsSchema(_)
        | Decoded::Bad(_)) => {
            panic!("the sample is {other:?}")
        }
    }
}

fn decoded_report() -> Box<DeliveryReport> {
    match Decoder::new(false).decode(RecordKind::Report, REPORT.as_bytes()) {
        Decoded::Report(report) => report,
        other @ (Decoded::Start(_)
        | Decoded::Flow(_)
        | Decoded::Items(_)
        | Decoded::Skipped
        | Decoded::NeedsSchema(_)
        | Decoded::Bad(_)) => {
            panic!("the sample is {other:?}")
        }
    }
}

fn encoded(state: &State) -> Bytes {
    let mut out = Vec::new();
    row::encode_state(state, &mut out);
    Bytes::from(out)
}

fn policy() -> Policy {
    let webhook = WebhookName::new("crm").expect("a name");
    let retry = RetrySchedule { intervals_ms: vec![5000, 10_000], randomization_factor: 0.2 };
    let webhook_rules = WebhookPolicy {
        attempts_max: 16,
        age_max_ms: 86_400_000,
        retry,
        retry_after_max_ms: 3_600_000,
        disable_after_ms: 432_000_000,
    };
    let account = AccountPolicy {
        notify_on_delivery: true,
        attach_flow_keys: true,
        webhook_enabled: Some(true),
        default_webhook: Some(webhook.clone()),
        ..AccountPolicy::default()
    };
    Policy {
        correlation: CorrelationPolicy {
            phase2_wait: Phase2Wait::All,
            phase2_order: Phase2Order::Strict,
            on_report_timeout: OnReportTimeout::End,
            phase2_gather_ms: 0,
            correlation_ttl_ms: 259_200_000,
            report_timeout_ms: 259_200_000,
            dedup_window_ms: 86_400_000,
        },
        statuses: ringback::definition::catalogue::statuses().clone(),
        accounts: imbl::OrdMap::unit(AccountId(28), account),
        webhooks: imbl::OrdMap::unit(webhook, webhook_rules.clone()),
        webhook_defaults: webhook_rules,
        definitions: Arc::new(Defined::default()),
    }
}

/// Returns the sample in Avro's single-object encoding.
fn avro_flow() -> Vec<u8> {
    let schema = Schema::parse_str(FLOW_SCHEMA).expect("a valid schema");
    let json: serde_json::Value = serde_json::from_str(FLOW).expect("the sample is JSON");
    let value = untyped(&json).resolve(&schema).expect("the sample fits the schema");
    let writer = GenericDatumWriter::builder(&schema).build().expect("a writer");
    let datum = writer.write_value_to_vec(value).expect("the record can be written");
    [&[0xc3, 0x01][..], &schema.fingerprint::<Rabin>().bytes, &datum].concat()
}

fn untyped(json: &serde_json::Value) -> Avro {
    use serde_json::Value as Json;
    match json {
        Json::Null => Avro::Null,
        Json::Bool(value) => Avro::Boolean(*value),
        Json::Number(value) => Avro::Long(value.as_i64().expect("an integer")),
        Json::String(value) => Avro::String(value.clone()),
        Json::Array(items) => Avro::Array(items.iter().map(untyped).collect()),
        Json::Object(fields) => {
            Avro::Map(fields.iter().map(|(name, value)| (name.clone(), untyped(value))).collect())
        }
    }
}
