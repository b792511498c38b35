//! What the configuration of a simulated world says.

use super::dice::Dice;
use crate::codec::body;
use crate::delivery::{
    AddressPolicy, Auth, BreakerRules, Endpoint, Limits, SuccessCodes, Tls, Trust, Webhook,
};
use crate::domain::{
    AccountId, AccountRules, CorrelationRules, OnReportTimeout, Phase2Order, Phase2Wait,
    RecordKind, RetrySchedule, Rules, StatusTable, WebhookName, WebhookRules,
};
use crate::engine::{EngineConfig, EngineSettings};
use crate::log::{KafkaSettings, Role, TopicNames, Topics};
use crate::telemetry::{Health, Metrics};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// The accounts and their webhooks.
pub(super) const ACCOUNTS: [(i64, &str); 2] = [(28, "crm"), (29, "desk")];

/// What changes from history to history.
pub(super) struct Setting {
    pub(super) nodes: usize,
    pub(super) partitions: u32,
    /// The gateways' topics may have more than the changelog.
    pub(super) input_partitions: u32,
    pub(super) rules: Rules,
    pub(super) config: Arc<EngineConfig>,
    pub(super) engine: EngineSettings,
    pub(super) topics: Topics,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
}

/// What is the same in all histories, and costs too much to be made for each.
struct Fixed {
    endpoints: Vec<Arc<Endpoint>>,
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

fn endpoints() -> Vec<Arc<Endpoint>> {
    let trust = Trust::new().unwrap();
    let policy = AddressPolicy::new(std::iter::empty());
    let webhook = |(account, name): (i64, &str)| Webhook {
        request: None,
        shown: None,
        name: WebhookName::new(name).unwrap(),
        account: AccountId(account),
        url: format!("https://{name}.example.com/").parse().unwrap(),
        method: http::Method::POST,
        auth: Auth::None,
        signing_secrets: Vec::new(),
        success: SuccessCodes::default(),
        limits: Limits {
            rate_per_second: None,
            burst: None,
            in_flight_max: NonZeroU32::new(4).unwrap(),
        },
        request_timeout: Duration::from_secs(15),
        connect_timeout: Duration::from_secs(5),
        tls: Tls::default(),
        proxy: None,
        response: None,
        breaker: BreakerRules {
            failure_ratio: 0.5,
            window: Duration::from_secs(30),
            attempts_min: 4,
            open: Duration::from_secs(5),
        },
        retry_after_max: Duration::from_secs(10),
    };
    let endpoint = |webhook| Endpoint::new(Arc::new(webhook), &trust, &policy).unwrap();
    ACCOUNTS.into_iter().map(|account| Arc::new(endpoint(webhook(account)))).collect()
}

fn account(dice: &mut Dice, webhook: &str) -> AccountRules {
    AccountRules {
        rules: Vec::new(),
        uses_variables: false,
        notify_on_delivery: !dice.one_in(6),
        attach_flow_keys: dice.one_in(2),
        webhook_enabled: Some(true),
        default_webhook: WebhookName::new(webhook).filter(|_| !dice.one_in(10)),
        flows: BTreeMap::new(),
    }
}

fn rules(dice: &mut Dice) -> Rules {
    let accounts = ACCOUNTS.map(|(id, webhook)| (AccountId(id), account(dice, webhook)));
    Rules {
        definitions: BTreeMap::new(),
        look_up: crate::codec::definition::look_up,
        correlation: CorrelationRules {
            phase2_wait: dice.pick(&[Phase2Wait::All, Phase2Wait::Each]),
            phase2_order: dice.pick(&[Phase2Order::Strict, Phase2Order::Independent]),
            on_report_timeout: dice.pick(&[OnReportTimeout::End, OnReportTimeout::Notify]),
            correlation_ttl_ms: 40_000,
            report_timeout_ms: 60_000,
            dedup_window_ms: dice.pick(&[5_000, 120_000, 120_000]),
        },
        statuses: StatusTable::default(),
        accounts: accounts.into(),
        webhooks: BTreeMap::new(),
        webhook_defaults: WebhookRules {
            attempts_max: 4,
            age_max_ms: dice.pick(&[20_000, 600_000]),
            retry_after_max_ms: 10_000,
            disable_after_ms: 30_000,
            retry: RetrySchedule {
                intervals_ms: vec![1000, 3000, 8000],
                randomization_factor: 0.2,
            },
        },
        render_phase2: body::render_phase2,
        render_unknown: body::render_unknown,
    }
}

impl Setting {
    pub(super) fn roll(dice: &mut Dice) -> Self {
        let (nodes, partitions) = (dice.pick(&[1, 2, 2, 3]), dice.pick(&[1, 2, 3]));
        let names = TopicNames {
            flow_started: Vec::new(),
            flow_complete: vec!["flow-complete".to_owned()],
            delivery_report: vec!["sms-delivery-report".to_owned()],
            events: "events".to_owned(),
            dead_letter: "dead-letter".to_owned(),
            changelog: "changelog".to_owned(),
            inbox: "inbox".to_owned(),
        };
        let input_partitions = dice.pick(&[partitions, partitions, partitions, partitions + 1, 1]);
        let unlike: BTreeSet<Arc<str>> = ["flow-complete", "sms-delivery-report"]
            .into_iter()
            .filter(|_| input_partitions != partitions)
            .map(Arc::from)
            .collect();
        let roles = [
            (names.flow_complete[0].as_str(), Role::Source(RecordKind::Flow)),
            (names.delivery_report[0].as_str(), Role::Source(RecordKind::Report)),
            (names.inbox.as_str(), Role::Inbox),
        ];
        let roles = roles.map(|(name, role)| (name.into(), role)).into();
        let rules = rules(dice);
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
            config: Arc::new(EngineConfig {
                rules: rules.clone(),
                endpoints,
                account_rates: BTreeMap::new(),
            }),
            rules,
            engine: EngineSettings {
                kafka,
                topics: names,
                partitions,
                unlike: unlike.clone(),
                in_flight_max: 16,
                uncommitted_max: 16,
                rate_per_second: None,
            },
            topics: Topics { roles, partitions, unlike },
            metrics,
            health,
        }
    }

    pub(super) fn names(&self) -> TopicNames {
        self.engine.topics.clone()
    }
}
