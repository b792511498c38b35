//! The configuration of a simulated world.

use super::dice::Dice;
use crate::codec::source::Unwrap;
use crate::definition::template::{BodyTemplate, Language, Tokens};
use crate::definition::{Body, Defined, Definition};
use crate::delivery::{
    AddressPolicy, Auth, BreakerPolicy, Endpoint, Fingerprint, Limits, SuccessCodes, Tls, Trust,
    Webhook,
};
use crate::domain::{
    AccountId, AccountPolicy, Computed, Condition, CorrelationPolicy, FlowId, NoticePolicy,
    OnReportTimeout, Phase2Order, Phase2Wait, Policy, RetrySchedule, Rule, StatusTable, Test,
    Trigger, WebhookEnd, WebhookName, WebhookPolicy,
};
use crate::engine::{EngineConfig, EngineSettings, Permissions};
use crate::log::{KafkaSettings, Role, TopicNames, Topics};
use crate::telemetry::{Health, Metrics};
use imbl::OrdMap;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// The accounts and their webhooks.
pub(super) const ACCOUNTS: [(i64, &str); 2] = [(28, "crm"), (29, "desk")];
/// All webhooks, including those of rules.
pub(super) const WEBHOOKS: [(i64, &str); 5] =
    [(28, "crm"), (29, "desk"), (28, "first"), (28, "then"), (28, NOTIFIED)];
/// The webhook that gets the notices about the endpoints of its account.
const NOTIFIED: &str = "notified";
/// The variable whose value comes from the answer of the webhook `first`.
pub(super) const GIVEN: &str = "$flow.key.given";

/// The settings that differ between histories.
pub(super) struct Setting {
    pub(super) nodes: usize,
    pub(super) partitions: u32,
    /// The partitions of the gateways' topics, which may differ from the changelog's.
    pub(super) input_partitions: u32,
    /// The partitions of the inbox, which may have grown beyond the changelog's.
    pub(super) inbox_partitions: u32,
    pub(super) policy: Policy,
    pub(super) config: Arc<EngineConfig>,
    pub(super) engine: EngineSettings,
    pub(super) topics: Topics,
    /// Whether the brokers have topic ids.
    pub(super) has_ids: bool,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
}

/// Parts that are the same in all histories, and costly to create.
struct Fixed {
    endpoints: OrdMap<WebhookName, Arc<Endpoint>>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
}

thread_local! {
    static FIXED: Fixed = Fixed {
        endpoints: endpoints(),
        metrics: Metrics::new(&["flow-complete".to_owned(), "sms-delivery-report".to_owned()]),
        health: Health::new(Duration::from_secs(60)),
    };
}

fn endpoints() -> OrdMap<WebhookName, Arc<Endpoint>> {
    let trust = Trust::new().unwrap();
    let policy = AddressPolicy::new(std::iter::empty());
    let webhook = |(account, name): (i64, &str)| Webhook {
        request: None,
        shown: None,
        secrets: Vec::new(),
        written: Fingerprint::new([0; 32]),
        name: WebhookName::new(name).unwrap(),
        account: AccountId(account),
        url: format!("https://{name}.example.com/").parse().unwrap(),
        method: http::Method::POST,
        auth: Auth::None,
        signing_secrets: Vec::new(),
        signatures: Vec::new(),
        retried: Default::default(),
        body_secrets: None,
        notes: None,
        success: SuccessCodes::default(),
        limits: Limits {
            rate_per_second: None,
            burst: None,
            in_flight_max: NonZeroU32::new(4).unwrap(),
        },
        request_timeout: Duration::from_secs(15),
        connect_timeout: Duration::from_secs(5),
        connection_max_age: Duration::from_secs(300),
        tls: Tls::default(),
        http1_only: false,
        proxy: None,
        response: None,
        breaker: BreakerPolicy {
            failure_ratio: 0.5,
            window: Duration::from_secs(30),
            attempts_min: 4,
            open: Duration::from_secs(5),
        },
        retry: retry(),
        retry_after_max: Duration::from_secs(10),
    };
    let endpoint = |webhook| Endpoint::new(Arc::new(webhook), &trust, &policy).unwrap();
    let named = |endpoint: Endpoint| (endpoint.webhook().name.clone(), Arc::new(endpoint));
    WEBHOOKS.into_iter().map(|account| named(endpoint(webhook(account)))).collect()
}

fn retry() -> RetrySchedule {
    RetrySchedule { intervals_ms: vec![1000, 3000, 8000], randomization_factor: 0.2 }
}

/// Returns definitions: `first` sends known variables, and `then` sends the value from the answer to `first`.
fn definitions(dice: &mut Dice) -> Defined {
    let definition = |text: &str, mandatory: bool| {
        let template =
            BodyTemplate::parse(Language::Json, text, &Tokens::new(), &|_| mandatory).unwrap();
        Definition::new(Body::Template(template), None)
    };
    let known = r#"{"uuid": $flow.syskey.phononUuid, "key": "$flow.key.a", "sms": $sms.id}"#;
    let given =
        r#"{"key": "$flow.key.a", "given": $flow.key.given, "status": $flow.key.response_status}"#;
    let name = |name| WebhookName::new(name).unwrap();
    let mut defined = Defined::default();
    defined.insert(name("first"), definition(known, false), vec![GIVEN.into()]);
    defined.insert(name("then"), definition(given, dice.one_in(2)), Vec::new());
    if dice.one_in(3) {
        defined.insert(name("crm"), definition(known, false), Vec::new());
    }
    defined
}

/// Returns rules that send both webhooks.
fn sent_beside(dice: &mut Dice, starts: bool) -> Vec<(Option<FlowId>, Rule)> {
    let mut on = match dice.below(4) {
        0 => vec![Trigger::FlowComplete],
        1 => vec![Trigger::SmsFinal],
        2 => vec![Trigger::Sms("SENT".into()), Trigger::Sms("FAILED".into())],
        _ => vec![Trigger::ReportTimedOut, Trigger::SmsFinal],
    };
    if starts {
        on.push(Trigger::FlowStarted);
    }
    let present = Condition { variable: "$flow.key.a".into(), test: Test::Present(true) };
    let when = if dice.one_in(3) { vec![present] } else { Vec::new() };
    let rule = |webhook| Rule {
        on: on.clone(),
        when: when.clone(),
        webhook: WebhookName::new(webhook).unwrap(),
        after: None,
        any_flow: false,
    };
    let (first, mut then) = (rule("first"), rule("then"));
    // The second webhook comes after the first one in every way, or only because it uses a value.
    let end = dice.pick(&WebhookEnd::ALL);
    match dice.below(5) {
        0 => then.after = Some(first.webhook.clone()),
        1 => then.on = vec![Trigger::Webhook(first.webhook.clone(), end)],
        2 => then.when.push(Condition { variable: GIVEN.into(), test: Test::Present(true) }),
        3 => then.on.push(Trigger::Webhook(WebhookName::new("crm").unwrap(), end)),
        _ => {}
    }
    then.any_flow = dice.one_in(2);
    vec![(None, first), (Some(FlowId(200)), then)]
}

fn account(dice: &mut Dice, webhook: &str, starts: bool) -> AccountPolicy {
    let is_ruled = webhook == "crm" && dice.one_in(2);
    AccountPolicy {
        rules: if is_ruled { sent_beside(dice, starts) } else { Vec::new() },
        uses_variables: is_ruled,
        notify_on_delivery: !dice.one_in(6),
        attach_flow_keys: dice.one_in(2),
        webhook_enabled: Some(true),
        default_webhook: WebhookName::new(webhook).filter(|_| !dice.one_in(10)),
        flows: BTreeMap::new(),
        relations: Computed::default(),
        notices: (webhook == "crm" && dice.one_in(2)).then(|| NoticePolicy {
            webhook: WebhookName::new(NOTIFIED).unwrap(),
            after_ms: dice.pick(&[1_000, 5_000]),
            dead_letters: dice.pick(&[1, 3]),
        }),
    }
}

fn policy(dice: &mut Dice, starts: bool) -> Policy {
    let accounts = ACCOUNTS.map(|(id, webhook)| (AccountId(id), account(dice, webhook, starts)));
    Policy {
        definitions: Arc::new(definitions(dice)),
        correlation: CorrelationPolicy {
            phase2_wait: dice.pick(&[Phase2Wait::All, Phase2Wait::Each]),
            phase2_order: dice.pick(&[Phase2Order::Strict, Phase2Order::Independent]),
            on_report_timeout: dice.pick(&[OnReportTimeout::End, OnReportTimeout::Notify]),
            phase2_gather_ms: dice.pick(&[0, 0, 5_000, 50_000]),
            correlation_ttl_ms: 40_000,
            report_timeout_ms: 60_000,
            dedup_window_ms: dice.pick(&[5_000, 120_000, 120_000]),
        },
        statuses: StatusTable::default(),
        accounts: accounts.into_iter().collect(),
        webhooks: OrdMap::new(),
        webhook_defaults: WebhookPolicy {
            attempts_max: 4,
            age_max_ms: dice.pick(&[20_000, 600_000]),
            retry_after_max_ms: 10_000,
            disable_after_ms: 30_000,
            retry: retry(),
        },
    }
}

impl Setting {
    pub(super) fn roll(dice: &mut Dice) -> Self {
        let (nodes, partitions) = (dice.pick(&[1, 2, 2, 3]), dice.pick(&[1, 2, 3]));
        let names = TopicNames {
            flow_started: if dice.one_in(4) { vec!["flow-started".to_owned()] } else { Vec::new() },
            flow_complete: vec!["flow-complete".to_owned()],
            delivery_report: vec!["sms-delivery-report".to_owned()],
            events: "events".to_owned(),
            dead_letter: "dead-letter".to_owned(),
            changelog: "changelog".to_owned(),
            inbox: "inbox".to_owned(),
            unwrap: Unwrap::default(),
        };
        let input_partitions = dice.pick(&[partitions, partitions, partitions, partitions + 1, 1]);
        let inbox_partitions = if dice.one_in(6) { partitions + 1 } else { partitions };
        let other_partition_counts: BTreeSet<Arc<str>> = names
            .sources()
            .filter(|_| input_partitions != inbox_partitions)
            .map(|(name, _)| name.as_str().into())
            .collect();
        let roles: BTreeMap<Arc<str>, Role> = names
            .sources()
            .map(|(name, kind)| (name, Role::Source(kind)))
            .chain([(&names.inbox, Role::Inbox)])
            .map(|(name, role)| (name.as_str().into(), role))
            .collect();
        let policy = policy(dice, !names.flow_started.is_empty());
        let (endpoints, metrics, health) = FIXED
            .with(|fixed| (fixed.endpoints.clone(), fixed.metrics.clone(), fixed.health.clone()));
        let kafka = KafkaSettings {
            bootstrap_servers: "simulated".to_owned(),
            group_id: "ringback".to_owned(),
            instance_id: "ringback".to_owned(),
            commit_interval_ms: 100,
            client: BTreeMap::new(),
        };
        Self {
            nodes,
            partitions,
            input_partitions,
            inbox_partitions,
            config: Arc::new(EngineConfig {
                policy: policy.clone(),
                endpoints,
                account_rates: OrdMap::new(),
            }),
            policy,
            engine: EngineSettings {
                is_identified: true,
                permissions: Permissions::default(),
                kafka,
                topics: names,
                partitions,
                other_partition_counts: other_partition_counts.clone(),
                in_flight_max: 16,
                uncommitted_max: 16,
                rate_per_second: None,
            },
            topics: Topics {
                roles,
                partitions,
                other_partition_counts,
                unwrap: Unwrap::default(),
                continues_traces: false,
            },
            has_ids: !dice.one_in(3),
            metrics,
            health,
        }
    }

    /// Returns the setting of a seed, and the dice for everything else.
    pub(super) fn of(seed: u64) -> (Dice, Self) {
        let mut dice = Dice(seed);
        let setting = Self::roll(&mut dice);
        (dice, setting)
    }

    pub(super) fn names(&self) -> TopicNames {
        self.engine.topics.clone()
    }
}
