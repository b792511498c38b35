//! Samples of all types in all variants, for seeds and properties.

use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use ringback::codec::row::{InputOffset, Landmark, Meta, Owner, Replacement, TopicId};
use ringback::domain::{
    AccountId, Collected, Collection, Correlation, Deferred, Delivery, DeliveryId, DisableCause,
    Disabled, Due, EndedWebhook, EndpointState, ErrorReason, Facts, FindingKind, Flow, FlowId,
    FlowIdentity, Header, IgnoreReason, Letters, Mapped, Notices, Outcome, Pending, Phase,
    PhononUuid, Rendering, Reported, Scope, SharedList, SmsId, Source, State, StatusClass,
    Timestamp, Verdict, WebhookName,
};
use serde_json::Value;

pub(crate) const AT: Timestamp = Timestamp::from_ms(1_697_696_721_042);

pub(crate) fn uuid() -> PhononUuid {
    PhononUuid::new("bd706f90-aa14-47ea-9844-3d1e1123f4ee").expect("a uuid")
}

pub(crate) fn webhook() -> WebhookName {
    WebhookName::new("crm").expect("a name")
}

pub(crate) fn source() -> Source {
    Source {
        topic: "flow-complete".into(),
        partition: 3,
        offset: 42,
        timestamp: AT,
        index: None,
        trace: None,
    }
}

pub(crate) fn outcome() -> Outcome {
    Outcome {
        verdict: Verdict::Retry,
        status: Some(503),
        duration_ms: 1042,
        response: Bytes::from_static(b"busy \"now\" \xff"),
        response_truncated: true,
        retry_after_ms: None,
        mapped: SharedList::default(),
        reason: Some(ErrorReason::Refused),
        error: Some("the endpoint answered 503".into()),
        disables: false,
    }
}

pub(crate) fn delivery(phase: Phase) -> Delivery {
    Delivery {
        rendering: ringback::domain::Rendering::Fixed,
        sms: if phase == Phase::Two {
            [SmsId::new("a").expect("an id")].into()
        } else {
            SharedList::default()
        },
        id: DeliveryId::derive(&uuid(), phase.number(), []),
        phase,
        account: AccountId(28),
        webhook: webhook(),
        body: Bytes::from_static("{\"text\":\"फोनन\"}".as_bytes()),
        source: source(),
        scheduled_at: AT,
        due: if phase == Phase::One { Due::At(AT) } else { Due::Waiting },
        attempts: 2,
        replays: 1,
        first_attempt_at: Some(AT),
        last_attempt_at: Some(AT.plus_ms(5000)),
        last_outcome: (phase == Phase::One).then(|| outcome().into()),
    }
}

fn report(id: &str, class: StatusClass) -> Collected {
    Collected {
        status: None,
        account: AccountId(28),
        sms: SmsId::new(id).expect("an id"),
        class,
        seen: vec![1, u64::MAX],
        body: Some(Bytes::from_static(b"{}")),
        raw: Some(Bytes::from_static(b" {}")),
        headers: [Header { name: "h".into(), value: None }].into(),
        sent: class == StatusClass::Final,
        source: source(),
        expires_at: Some(AT),
    }
}

fn flow(collection: Collection) -> Flow {
    Flow {
        enabled: true,
        record: None,
        spelling: None,
        identity: FlowIdentity { account: AccountId(28), flow: Some(FlowId(200)), content: 5 },
        accepted_at: AT,
        source: source(),
        webhook: Some(webhook()),
        keys: Some(Bytes::from_static(b"[]")),
        sms: Some(vec![SmsId::new("a").expect("an id"), SmsId::new("b").expect("an id")]),
        reports: vec![report("a", StatusClass::Final), report("b", StatusClass::Intermediate)],
        collection,
        gathers_until: matches!(collection, Collection::Open { .. }).then_some(AT),
    }
}

pub(crate) fn states() -> Vec<State> {
    let identity = FlowIdentity { account: AccountId(-1), flow: None, content: u64::MAX };
    let correlations = [
        Correlation::Unknown,
        Correlation::AwaitingFlow(vec![report("a", StatusClass::Final)]),
        Correlation::Open(flow(Collection::Open { until: AT })),
        Correlation::Open(flow(Collection::Complete)),
        Correlation::Open(flow(Collection::TimedOut)),
        Correlation::Open(flow(Collection::NotWanted)),
        Correlation::Silent { flow: identity, reason: IgnoreReason::NotifyOff, until: AT },
        Correlation::Ended { account: AccountId(28), until: AT },
    ];
    let deliveries = Phase::ALL.map(delivery).to_vec();
    let state = |correlation| State {
        correlation,
        deliveries: deliveries.clone(),
        deferred: vec![deferred()],
        outcomes: vec![EndedWebhook {
            account: AccountId(28),
            webhook: webhook(),
            values: vec![Mapped { save_in: "$flow.key.a".into(), value: "0.10".into() }],
        }],
        ..State::default()
    };
    correlations.into_iter().map(state).collect()
}

fn deferred() -> Deferred {
    let after = vec![delivery(Phase::One).id];
    let outcome_of = vec![webhook()];
    let pending = Pending { after, outcome_of, ..Pending::of(Facts::default()) };
    let rendering = Rendering::Pending(Box::new(pending));
    Deferred {
        delivery: Delivery { rendering, ..delivery(Phase::Rule) },
        trigger: "webhook:crm:failed".into(),
        upon: Some(delivery(Phase::One).id),
        sms: [SmsId::new("a").expect("an id")].into(),
        scope: Scope { flow: Some(FlowId(200)), enabled: false },
    }
}

pub(crate) fn endpoints() -> Vec<EndpointState> {
    let disabled = |cause| Some(Disabled { at: AT, cause });
    vec![
        EndpointState::default(),
        EndpointState { held_until: Some(AT), ..EndpointState::default() },
        EndpointState {
            failing_since: Some(AT),
            disabled: disabled(DisableCause::Failing),
            reported: Some(Reported { kind: FindingKind::Disabled, at: AT }),
            ..EndpointState::default()
        },
        EndpointState {
            failing_since: Some(AT),
            disabled: disabled(DisableCause::Gone),
            ..EndpointState::default()
        },
        EndpointState {
            notices: Notices {
                failing: Some(AT),
                open: Some(FindingKind::Failing),
                letters: Some(Letters { count: 3, since: AT }),
                ..Notices::default()
            },
            ..EndpointState::default()
        },
    ]
}

pub(crate) fn metas() -> Vec<Meta> {
    let input = |topic: &str, partition, next_offset, id: Option<&str>| InputOffset {
        topic: topic.into(),
        partition,
        next_offset,
        topic_id: id.map(TopicId::from),
        landmark: id.is_none().then_some(Landmark { offset: 41, content: u64::MAX - 1 }),
    };
    let offsets = vec![
        input("flow-complete", 3, 42, Some("H3F9wW8aQ0m1FbxYc7bYbg")),
        input("ringback.inbox", i32::MAX, i64::MAX, None),
    ];
    let owner = Owner {
        cluster: Some("MkU3OEVBNTcwNTJENDM2Qg".into()),
        group: "ringback".into(),
        changelog: Some("p8qZ0yFJQ1uXf2v0yqk3_w".into()),
        partitions: 4,
        replaces: Some("x".into()),
        rebuilt_up_to: Some("uuid-1".into()),
        copies: Some("ringback.changelog".into()),
        replaced_by: Some(Replacement {
            changelog: "ringback.changelog-4".into(),
            inbox: "ringback.inbox-4".into(),
        }),
        earlier: vec!["w".into(), "v".into()],
    };
    vec![Meta::default(), Meta { offsets, committed_at: AT, owner: Some(owner) }]
}

/// Converts JSON to untyped Avro, which is resolved to a schema later.
fn untyped(json: &Value) -> Avro {
    match json {
        Value::Null => Avro::Null,
        Value::Bool(value) => Avro::Boolean(*value),
        Value::Number(value) => match value.as_i64() {
            Some(value) => Avro::Long(value),
            None => Avro::Double(value.as_f64().expect("a number of 64 bits")),
        },
        Value::String(value) => Avro::String(value.clone()),
        Value::Array(items) => Avro::Array(items.iter().map(untyped).collect()),
        Value::Object(fields) => {
            Avro::Map(fields.iter().map(|(name, value)| (name.clone(), untyped(value))).collect())
        }
    }
}

/// Returns the datum of `record` by `schema`.
pub(crate) fn datum(schema: &Schema, record: &Value) -> Vec<u8> {
    let value = untyped(record).resolve(schema).expect("the record fits the schema");
    let writer = GenericDatumWriter::builder(schema).build().expect("a writer");
    writer.write_value_to_vec(value).expect("the record can be written")
}

/// Returns `record` in Avro's single-object encoding.
pub(crate) fn single_object(schema: &str, record: &Value) -> Vec<u8> {
    let schema = Schema::parse_str(schema).expect("a schema");
    let fingerprint = schema.fingerprint::<Rabin>().bytes;
    [&[0xc3, 0x01][..], &fingerprint, &datum(&schema, record)].concat()
}
