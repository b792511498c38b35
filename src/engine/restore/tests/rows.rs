//! A row of every kind and variant, for a new fixture.
//!
//! A daemon could have written this changelog. Everything that is due was due in 2023, and everything that waits does
//! so until 2100. `tests/ringback/upgrades.rs` runs a daemon on it: the webhook `crm` of the account 28 accepts the
//! deliveries, `held` is held back, `gone` and `failing` are disabled.

use super::fixture::Change;
use crate::codec::row::{self, InputOffset, Landmark, Meta, Owner, TopicId};
use crate::domain::{
    AccountId, Collected, Collection, Correlation, Deferred, Delivery, DeliveryId, DisableCause,
    Disabled, Due, EndedWebhook, EndpointState, ErrorReason, Facts, FindingKind, Flow, FlowId,
    FlowIdentity, Header, Headers, IgnoreReason, Letters, Mapped, Notices, Outcome, Pending, Phase,
    PhononUuid, Rendered, Rendering, Reported, Scope, SmsId, Source, Started, State, StatusClass,
    Timestamp, TraceContext, Verdict, WebhookName,
};
use crate::store::RowKey;
use bytes::Bytes;
use std::sync::Arc;

/// 2023-10-19T06:25:21.042Z
const THEN: Timestamp = Timestamp::from_ms(1_697_696_721_042);
/// 2100-01-01T00:00:00Z
const FAR: Timestamp = Timestamp::from_ms(4_102_444_800_000);
const ACCOUNT: AccountId = AccountId(28);
/// The name of the input topic in the test that runs a daemon on the fixture.
const TOPIC: &str = "fixture.flow-complete";

fn source(offset: i64) -> Source {
    Source { topic: TOPIC.into(), partition: 0, offset, timestamp: THEN, index: None, trace: None }
}

/// Returns the position of a record whose producer sent a trace.
fn traced(state: Option<Arc<str>>) -> Source {
    let flags = u8::from(state.is_some());
    let trace = TraceContext::new(u128::MAX - 1, u64::MAX - 2, flags, state).unwrap();
    Source { trace: Some(Arc::new(trace)), ..source(2) }
}

fn sms(id: &str) -> SmsId {
    SmsId::new(id).unwrap()
}

fn webhook(name: &str) -> WebhookName {
    WebhookName::new(name).unwrap()
}

fn report(id: &str, class: StatusClass) -> Collected {
    Collected {
        status: None,
        account: ACCOUNT,
        sms: sms(id),
        class,
        seen: vec![0x0123_4567_89ab_cdef],
        body: Some(Bytes::from(format!("{{\"id\":\"{id}\",\"text\":\"फोनन\"}}"))),
        raw: None,
        headers: Headers::default(),
        sent: false,
        source: source(1),
        expires_at: None,
    }
}

/// Returns a report that waits for its flow until this time.
fn waiting(id: &str, class: StatusClass, until: Timestamp) -> Collected {
    let raw = Some(Bytes::from_static(b"\xc3\x01 as it came"));
    let seen = (0..16).map(|n: u64| u64::MAX - n).collect();
    let headers = [("trace", Some(&b"\x00\xff"[..])), ("trace", None), ("", Some(b""))];
    let headers = headers
        .map(|(name, value)| Header { name: name.into(), value: value.map(Bytes::from_static) });
    let headers = headers.into();
    Collected { raw, seen, headers, expires_at: Some(until), ..report(id, class) }
}

fn flow(collection: Collection) -> Flow {
    Flow {
        enabled: true,
        record: None,
        spelling: None,
        identity: FlowIdentity { account: ACCOUNT, flow: Some(FlowId(200)), content: 7 },
        accepted_at: THEN,
        source: source(0),
        webhook: Some(webhook("crm")),
        keys: Some(Bytes::from_static(b"[{\"name\":\"$flow.key.leadid\",\"value\":0.10}]")),
        sms: Some(vec![sms("a"), sms("b")]),
        reports: vec![Collected { sent: true, body: None, ..report("a", StatusClass::Final) }],
        collection,
        gathers_until: None,
    }
}

fn outcome(reason: ErrorReason) -> Outcome {
    Outcome {
        verdict: Verdict::Retry,
        status: Some(503),
        duration_ms: 1042,
        response: Bytes::from_static(b"busy \xff"),
        response_truncated: true,
        retry_after_ms: None,
        disables: false,
        mapped: Default::default(),
        reason: Some(reason),
        error: Some("the endpoint answered 503".into()),
    }
}

fn delivery(uuid: &str, phase: Phase, to: &str) -> Delivery {
    let ids = [sms("a")];
    let about = if phase == Phase::One { &[][..] } else { &ids[..] };
    Delivery {
        rendering: crate::domain::Rendering::Fixed,
        sms: about.to_vec().into(),
        id: DeliveryId::derive(&PhononUuid::new(uuid).unwrap(), phase.number(), about),
        phase,
        account: ACCOUNT,
        webhook: webhook(to),
        body: Bytes::from(format!("{{\"phonon-uuid\":\"{uuid}\",\"phase\":{}}}", phase.number())),
        source: source(2),
        scheduled_at: THEN,
        due: Due::At(THEN.plus_ms(5)),
        attempts: 0,
        replays: 0,
        first_attempt_at: None,
        last_attempt_at: None,
        last_outcome: None,
    }
}

/// Returns a delivery after failed attempts. It is scheduled in the future, so that no age limit ends it.
fn tried(delivery: Delivery, attempts: u32, outcome: Outcome) -> Delivery {
    Delivery {
        scheduled_at: FAR,
        attempts,
        first_attempt_at: Some(THEN.plus_ms(10)),
        last_attempt_at: Some(THEN.plus_ms(20)),
        last_outcome: Some(outcome.into()),
        ..delivery
    }
}

fn open(collection: Collection, deliveries: Vec<Delivery>) -> State {
    State { correlation: Correlation::Open(flow(collection)), deliveries, ..State::default() }
}

type Named = Vec<(&'static str, State)>;

fn ended(until: Timestamp) -> Correlation {
    Correlation::Ended { account: ACCOUNT, until }
}

fn without_flow() -> Named {
    let awaiting =
        |reports| State { correlation: Correlation::AwaitingFlow(reports), ..State::default() };
    let expired = waiting("a", StatusClass::Final, THEN);
    let unknown = Outcome {
        verdict: Verdict::GiveUp,
        duration_ms: u64::MAX,
        ..outcome(ErrorReason::InvalidRequest)
    };
    let unknown = tried(delivery("unknown", Phase::One, "crm"), u32::MAX - 1, unknown);
    vec![
        ("awaiting-expired", awaiting(vec![expired, waiting("b", StatusClass::Intermediate, FAR)])),
        ("awaiting", awaiting(vec![waiting("a", StatusClass::Intermediate, FAR)])),
        (
            "unknown",
            State {
                correlation: Correlation::Unknown,
                deliveries: vec![unknown],
                ..State::default()
            },
        ),
    ]
}

fn with_flow() -> Named {
    let one = |uuid| delivery(uuid, Phase::One, "crm");
    let waits = Collection::Open { until: FAR };
    let item = Source { index: Some(3), ..source(1) };
    let item = Collected { source: item, ..report("b", StatusClass::Intermediate) };
    let followed = Collected { source: traced(None), ..report("c", StatusClass::Final) };
    let reports = vec![report("a", StatusClass::Final), item, followed];
    let collecting = Flow { reports, spelling: Some("{OPEN}".into()), ..flow(waits) };
    let collecting = Correlation::Open(collecting);
    let gathers =
        Collected { body: Some(Bytes::from_static(b"{}")), ..report("a", StatusClass::Final) };
    let (sms, reports, gathers_until) = (None, vec![gathers], Some(FAR));
    let gathering = Correlation::Open(Flow { sms, reports, gathers_until, ..flow(waits) });
    let held = Delivery { due: Due::Waiting, ..delivery("open-held", Phase::Two, "crm") };
    let held = vec![tried(one("open-held"), 3, outcome(ErrorReason::Refused)), held];
    let bare = Flow { sms: None, keys: None, reports: Vec::new(), ..flow(Collection::NotWanted) };
    let unreachable =
        Outcome { status: None, response: Bytes::new(), ..outcome(ErrorReason::Unreachable) };
    let unreachable = vec![tried(one("open-not-wanted"), 1, unreachable)];
    let too_old = tried(one("too-old"), 1, outcome(ErrorReason::Timeout));
    let too_old = Delivery { scheduled_at: THEN, ..too_old };
    let late = delivery("open-timed-out", Phase::Two, "crm");
    let late = Delivery { sms: [self::sms("a"), self::sms("b-फोनन")].into(), ..late };
    let late = Delivery { source: traced(Some("a=1,b=2".into())), ..late };
    let mut states = vec![
        ("open-waiting", open(waits, vec![one("open-waiting")])),
        ("open-collecting", State { correlation: collecting, ..State::default() }),
        ("open-gathering", State { correlation: gathering, ..State::default() }),
        ("open-held", open(Collection::Complete, held)),
        ("open-timed-out", open(Collection::TimedOut, vec![late])),
        (
            "open-not-wanted",
            State {
                correlation: Correlation::Open(bare),
                deliveries: unreachable,
                ..State::default()
            },
        ),
        ("too-old", open(Collection::Complete, vec![too_old])),
        ("फोनन-😀", open(Collection::Complete, vec![one("फोनन-😀")])),
    ];
    states.extend([("to-held", "held"), ("to-gone", "gone"), ("to-failing", "failing")].map(
        |(uuid, to)| (uuid, open(Collection::Complete, vec![delivery(uuid, Phase::One, to)])),
    ));
    states
}

fn with_variables() -> Named {
    let text = Bytes::from_static("{\"keys\":[],\"text\":\"फोनन\"}".as_bytes());
    let mapped = Mapped { save_in: "$flow.key.reqID".into(), value: "\"0.10\"".into() };
    let kept = Flow { webhook: None, record: Some(text.clone()), ..flow(Collection::Complete) };
    let rendered = |content_type: Option<&'static str>| Rendered {
        content_type: content_type.map(Into::into),
        values: Bytes::from_static(br#"{"$flow.key.a":0.10}"#),
    };
    let done = |uuid, content_type| Delivery {
        rendering: Rendering::Done(rendered(content_type)),
        ..delivery(uuid, Phase::Rule, "crm")
    };
    let facts =
        Facts { record: Some(text.clone()), reports: vec![text], mapped: vec![mapped.clone()] };
    let pending = |uuid, facts, after| Delivery {
        due: Due::Waiting,
        rendering: Rendering::Pending(Box::new(Pending { after, ..Pending::of(facts) })),
        ..delivery(uuid, Phase::Rule, "held")
    };
    let first = done("rendered", Some("application/xml"));
    let waits = pending("rendered-after", facts, vec![first.id]);
    let bare = pending("rendered-bare", Facts::default(), vec![first.id]);
    let kinds = [
        ("rendered-json", Some("application/json")),
        ("rendered-form", Some("application/x-www-form-urlencoded")),
        ("rendered-none", None),
        ("rendered-csv", Some("text/csv; charset=utf-8")),
    ];
    let rendered = State {
        correlation: Correlation::Open(kept),
        deliveries: vec![first, waits, bare],
        mapped: vec![mapped.clone()],
        ..State::default()
    };
    let status = Some("SENT".into());
    let waiting = Collected { status, ..waiting("a", StatusClass::Intermediate, FAR) };
    let started = |until| Some(Started { account: ACCOUNT, content: 9, until });
    let mut states = vec![
        ("rendered", rendered),
        ("started", State { started: started(FAR), ..State::default() }),
        ("started-expired", State { started: started(THEN), ..State::default() }),
        (
            "started-awaiting",
            State {
                started: started(FAR),
                correlation: Correlation::AwaitingFlow(vec![waiting]),
                ..State::default()
            },
        ),
    ];
    states.push(("after-another", after_another(&mapped)));
    states.extend(
        kinds.map(|(uuid, kind)| (uuid, open(Collection::Complete, vec![done(uuid, kind)]))),
    );
    states
}

/// Returns a flow whose rules come after other webhooks.
fn after_another(mapped: &Mapped) -> State {
    let record = Some(Bytes::from_static(b"{\"keys\":[]}"));
    let flow = Flow { webhook: None, enabled: false, record, ..flow(Collection::NotWanted) };
    let awaited = delivery("after-another", Phase::Rule, "held");
    let outcome_of = vec![awaited.webhook.clone()];
    let pending = Pending { after: vec![awaited.id], outcome_of, ..Pending::of(Facts::default()) };
    let waits = |id: u8| Delivery {
        id: DeliveryId::from_bytes([id; 16]),
        due: Due::Waiting,
        rendering: Rendering::Pending(Box::new(pending.clone())),
        ..delivery("after-another", Phase::Rule, "crm")
    };
    let scope = Scope { flow: Some(FlowId(200)), enabled: false };
    let deferred = |id, upon, trigger: &str| Deferred {
        delivery: waits(id),
        trigger: trigger.into(),
        upon,
        sms: [sms("a")].into(),
        scope,
    };
    let (account, webhook) = (ACCOUNT, WebhookName::new("gone").unwrap());
    let deferred =
        vec![deferred(1, Some(awaited.id), "webhook:held:failed"), deferred(2, None, "sms:FAILED")];
    State {
        correlation: Correlation::Open(flow),
        deliveries: vec![awaited, waits(3)],
        deferred,
        outcomes: vec![EndedWebhook { account, webhook, values: vec![mapped.clone()] }],
        ..State::default()
    }
}

fn after_the_end() -> Named {
    let one = |uuid| delivery(uuid, Phase::One, "crm");
    let replayed = Delivery { replays: 2, ..one("replayed") };
    let delivered = Outcome {
        verdict: Verdict::Delivered,
        status: Some(200),
        reason: None,
        error: None,
        ..outcome(ErrorReason::Refused)
    };
    let delivered = tried(one("delivered-once"), 1, delivered);
    vec![
        (
            "replayed",
            State { correlation: ended(FAR), deliveries: vec![replayed], ..State::default() },
        ),
        (
            "delivered-once",
            State { correlation: ended(FAR), deliveries: vec![delivered], ..State::default() },
        ),
        ("ended", State { correlation: ended(FAR), ..State::default() }),
        ("ended-expired", State { correlation: ended(THEN), ..State::default() }),
    ]
}

/// Returns the final states by their uuids.
fn states() -> Vec<(String, State)> {
    let named = [without_flow(), with_flow(), with_variables(), after_the_end()].concat();
    let named = named.into_iter().map(|(uuid, state)| (uuid.to_owned(), state));
    let identity = FlowIdentity { account: AccountId(-1), flow: None, content: u64::MAX };
    let silent = IgnoreReason::ALL.iter().map(|reason| {
        let correlation = Correlation::Silent { flow: identity, reason: *reason, until: FAR };
        (format!("silent-{}", reason.as_str()), State { correlation, ..State::default() })
    });
    let failed = ErrorReason::ALL.into_iter().map(|reason| {
        let uuid = format!("failed-{}", reason.as_str());
        let row = tried(delivery(&uuid, Phase::One, "crm"), 2, outcome(reason));
        (uuid, open(Collection::Complete, vec![row]))
    });
    named.chain(silent).chain(failed).collect()
}

fn notices() -> Notices {
    Notices {
        failing: Some(THEN),
        held: None,
        disabled: Some(FAR),
        dead_letters: Some(THEN),
        recovered: None,
        open: Some(FindingKind::Disabled),
        letters: Some(Letters { count: 7, since: THEN }),
    }
}

fn endpoints() -> Vec<(&'static str, EndpointState)> {
    let failing_since = Some(THEN);
    let disabled = |cause| Some(Disabled { at: THEN, cause });
    vec![
        ("crm", EndpointState { failing_since, ..EndpointState::default() }),
        (
            "held",
            EndpointState { failing_since, held_until: Some(FAR), ..EndpointState::default() },
        ),
        (
            "gone",
            EndpointState {
                failing_since,
                disabled: disabled(DisableCause::Gone),
                ..EndpointState::default()
            },
        ),
        (
            "failing",
            EndpointState {
                failing_since,
                disabled: disabled(DisableCause::Failing),
                reported: Some(Reported { kind: FindingKind::Disabled, at: THEN }),
                ..EndpointState::default()
            },
        ),
        ("noticed", EndpointState { notices: notices(), ..EndpointState::default() }),
    ]
}

/// Returns the changelog, and how many of its records the store has. The store's part has every row in an earlier
/// version or none, then some final ones. The other records and the tombstones follow.
pub(super) fn changes() -> (Vec<Change>, usize) {
    let mut log = Log(Vec::new());
    let states = states();
    log.meta(0);
    for (uuid, state) in &states {
        let before = State { deliveries: Vec::new(), correlation: ended(THEN), ..State::default() };
        log.state(uuid, &before);
        if uuid.len() % 2 == 0 {
            log.state(uuid, state);
        }
    }
    for uuid in ["forgotten", "forgotten-early"] {
        let row = delivery(uuid, Phase::One, "crm");
        log.state(uuid, &open(Collection::Open { until: FAR }, vec![row]));
    }
    log.state("forgotten-early", &State::default());
    for (name, _) in endpoints() {
        log.endpoint(name, &EndpointState { held_until: Some(THEN), ..EndpointState::default() });
    }
    log.endpoint(
        "recovered",
        &EndpointState { failing_since: Some(THEN), ..EndpointState::default() },
    );
    log.meta(2);
    let split = log.0.len();
    for (uuid, state) in states.iter().filter(|(uuid, _)| uuid.len() % 2 == 1) {
        log.state(uuid, state);
    }
    log.state("forgotten", &State::default());
    for (name, endpoint) in endpoints() {
        log.endpoint(name, &endpoint);
    }
    log.endpoint("recovered", &EndpointState::default());
    log.meta(3);
    (log.0, split)
}

/// Adds `count` rows. Each is larger than a quarter of a write of the restore.
pub(super) fn large(changes: Vec<Change>, count: usize) -> Vec<Change> {
    let mut log = Log(changes);
    for number in 0..count {
        let body = Some(Bytes::from(vec![b'a'; super::super::target::BATCH_BYTES / 3]));
        let waiting = Collected { body, ..waiting("a", StatusClass::Final, FAR) };
        let correlation = Correlation::AwaitingFlow(vec![waiting]);
        log.state(&format!("large-{number}"), &State { correlation, ..State::default() });
    }
    log.0
}

struct Log(Vec<Change>);

impl Log {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        let offset = i64::try_from(self.0.len()).unwrap();
        self.0.push(Change { offset, key, value: Some(value).filter(|value| !value.is_empty()) });
    }

    fn state(&mut self, uuid: &str, state: &State) {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        RowKey::write_state(&PhononUuid::new(uuid).unwrap(), &mut key);
        if !state.is_empty() {
            row::encode_state(state, &mut value);
        }
        self.put(key, value);
    }

    fn endpoint(&mut self, name: &str, endpoint: &EndpointState) {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        RowKey::write_endpoint(&webhook(name), &mut key);
        if *endpoint != EndpointState::default() {
            row::encode_endpoint(endpoint, &mut value);
        }
        self.put(key, value);
    }

    /// Writes a meta row with this offset of the input.
    fn meta(&mut self, next_offset: i64) {
        let input = |topic: &str, next_offset, id: Option<&str>| InputOffset {
            topic: topic.into(),
            partition: 0,
            next_offset,
            topic_id: id.map(TopicId::from),
            // A topic has either an id or a landmark.
            landmark: id
                .is_none()
                .then_some(Landmark { offset: 7, content: 0x1122_3344_5566_7788 }),
        };
        let owner = Owner {
            cluster: Some("fixture-cluster".into()),
            group: "fixture".into(),
            changelog: Some(TopicId::from("fixture-changelog")),
            partitions: 1,
            replaces: Some(TopicId::from("fixture-former")),
            earlier: vec![TopicId::from("fixture-first")],
            ..Owner::default()
        };
        let offsets =
            vec![input(TOPIC, next_offset, Some("fixture-topic")), input("fixture.inbox", 8, None)];
        let mut value = Vec::new();
        row::encode_meta(&Meta { offsets, committed_at: THEN, owner: Some(owner) }, &mut value);
        self.put(RowKey::META.to_vec(), value);
    }
}
