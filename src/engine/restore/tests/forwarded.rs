//! Inputs that are only forwarded begin without a restore, and so only after a look at the changelog.

use crate::codec::row::{Landmark, Owner, Replacement};
use crate::engine::config::EngineSettings;
use crate::engine::input::{Input, RestoreFailure};
use crate::engine::mailbox::Mailbox;
use crate::engine::ownership::{Mismatch, Permissions};
use crate::engine::restore::{Foreign, Rows};
use crate::log::{
    Begin, Found, GroupOffset, Identity, KafkaSettings, LogError, Offsets, TopicNames,
    TopicPartition,
};
use crate::store::Rocks;
use crate::telemetry::{Health, Metrics};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A changelog whose first partition has this owner.
struct Log(Owner);

impl Offsets for Log {
    fn committed(
        &self,
        _: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, GroupOffset>, LogError> {
        Ok(BTreeMap::new())
    }

    fn offset_at(&self, _: &TopicPartition, _: Begin) -> Result<i64, LogError> {
        Ok(0)
    }

    fn identity(&self, _: &[&str]) -> Result<Identity, LogError> {
        Ok(Identity::default())
    }

    fn found(&self, _: &TopicPartition, _: Landmark) -> Result<Found, LogError> {
        Ok(Found::Same)
    }

    fn owners(&self) -> Result<BTreeMap<i32, Owner>, LogError> {
        Ok([(0, self.0.clone())].into())
    }
}

fn settings() -> EngineSettings {
    let topic = |name: &str| name.to_owned();
    EngineSettings {
        kafka: KafkaSettings {
            bootstrap_servers: topic("a:9092"),
            group_id: topic("g"),
            instance_id: topic("i"),
            commit_interval_ms: 100,
            client: BTreeMap::new(),
        },
        topics: TopicNames {
            flow_complete: vec![topic("flow-complete")],
            delivery_report: vec![topic("sms-delivery-report")],
            flow_started: Vec::new(),
            events: topic("events"),
            dead_letter: topic("dead-letter"),
            changelog: topic("changelog"),
            inbox: topic("inbox"),
            unwrap: crate::codec::source::Unwrap::default(),
        },
        partitions: 2,
        is_identified: true,
        permissions: Permissions::default(),
        other_partition_counts: BTreeSet::new(),
        in_flight_max: 1,
        uncommitted_max: 1,
        rate_per_second: None,
    }
}

/// Begins to forward the inputs of a changelog with this owner. Returns the refusal, or `None` if they are started.
fn refusal(owner: Owner) -> Option<Mismatch> {
    let mailbox = Arc::new(Mailbox::new());
    let mut rows: Rows<Log, Rocks> = Rows {
        epoch: 1,
        offsets: Log(owner),
        identity: Arc::default(),
        settings: Arc::new(settings()),
        mailbox: mailbox.clone(),
        metrics: Metrics::new(&[]),
        health: Health::new(Duration::from_secs(60)),
        targets: BTreeMap::new(),
        owners: None,
    };
    let place = TopicPartition { topic: "flow-complete".into(), partition: 3 };
    let refused = match rows.identify(&Foreign { places: vec![place], is_held: false }) {
        Err(RestoreFailure::Mismatch(mismatch)) => Some(*mismatch),
        Err(_) => panic!("it fails for another reason"),
        Ok(()) => None,
    };
    let mut inputs = Vec::new();
    mailbox.take(&mut inputs, 1, Instant::now());
    let is_started = inputs.iter().any(|input| matches!(input, Input::Identified { .. }));
    assert_eq!(is_started, refused.is_none());
    refused
}

#[test]
fn nothing_is_forwarded_to_the_inbox_of_a_changelog_that_was_replaced_or_is_unfinished() {
    let ours = Owner { group: "g".into(), partitions: 2, ..Owner::default() };
    assert_eq!(refusal(ours.clone()), None);
    let by = Replacement { changelog: "new".into(), inbox: "new-inbox".into() };
    let topic = "changelog".to_owned();
    let replaced = refusal(Owner { replaced_by: Some(by.clone()), ..ours.clone() });
    assert_eq!(replaced, Some(Mismatch::Replaced { by, topic: topic.clone() }));
    let unfinished = refusal(Owner { copies: Some("former".into()), ..ours });
    assert_eq!(unfinished, Some(Mismatch::Copying { from: "former".into(), topic }));
}
