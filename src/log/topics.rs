//! Compares the topics with their wanted state, creates missing ones and corrects their settings.

use super::client::{self, Cluster, LogError, MESSAGE_BYTES_MAX};
use super::report::Reports;
use super::rights::{self, Operation, Resource, Right};
use super::settings::{KafkaSettings, TopicNames};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewPartitions, NewTopic,
    OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::time::Duration;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const DAY_MS: u64 = 86_400_000;
/// The changelog keeps tombstones for this long. An older store can't be continued.
const TOMBSTONES_KEPT_MS: u64 = 7 * DAY_MS;

/// Kafka keeps the inbox's records for this long, unless its operator sets another time.
pub const INBOX_KEPT_MS: u64 = 7 * DAY_MS;

/// The wanted and the actual state of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    pub name: String,
    pub role: &'static str,
    /// It is one of our own topics, which `ringback topics --create` may create.
    pub own: bool,
    /// Its number of partitions; `None`: it does not exist.
    pub partitions: Option<u32>,
    /// Its wanted number of partitions; `None`: any number.
    pub partitions_wanted: Option<u32>,
    /// The name, the wanted and the actual value of each setting.
    pub settings: Vec<(String, String, Option<String>)>,
}

/// A fault of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFault {
    pub topic: String,
    /// The fault and its remedy.
    pub text: String,
    /// The daemon can't run with it.
    pub fatal: bool,
}

impl TopicState {
    /// Returns the faults of the topic.
    #[must_use]
    pub fn faults(&self) -> Vec<TopicFault> {
        let fault = |text, fatal| TopicFault { topic: self.name.clone(), text, fatal };
        let Some(partitions) = self.partitions else {
            let advice = if self.own {
                "create it with `ringback topics --create`"
            } else {
                "its producer creates it"
            };
            return vec![fault(format!("it does not exist: {advice}"), false)];
        };
        let mut faults = Vec::new();
        if let Some(wanted) = self.partitions_wanted.filter(|wanted| *wanted != partitions) {
            // Records in partitions that the changelog does not have are forwarded.
            faults.push(fault(wrong_partition_count(partitions, wanted), partitions < wanted));
        }
        for (key, wanted, real) in &self.settings {
            if !acceptable(key, wanted, real.as_deref()) {
                let real = real.as_deref().unwrap_or("not set");
                let text =
                    format!("{key} is {real} and must be {wanted}: run `ringback topics --mend`");
                faults.push(fault(text, key == "cleanup.policy"));
            }
        }
        faults
    }
}

/// Describes the consequence when the inbox and the changelog have different numbers of partitions.
fn wrong_partition_count(partitions: u32, wanted: u32) -> String {
    let counts = format!("it has {partitions} partitions, the changelog has {wanted}");
    if partitions < wanted {
        return format!(
            "{counts}: run `ringback topics --mend`, which adds the missing partitions and loses nothing"
        );
    }
    format!(
        "{counts}: nothing is lost, but every record is written to it first, which costs speed. Kafka can't remove \
         partitions; ops/guide/partitions.md says how to replace the topic"
    )
}

/// Returns whether a setting is sufficient. A size or a time may be larger than wanted; -1 means no limit.
fn acceptable(key: &str, wanted: &str, real: Option<&str>) -> bool {
    let Some(real) = real else { return false };
    if key == "cleanup.policy" {
        return real == wanted;
    }
    match (wanted.parse::<i64>(), real.parse::<i64>()) {
        (Ok(wanted), Ok(real)) => real == -1 || (wanted != -1 && real >= wanted),
        _ => real == wanted,
    }
}

struct Wanted {
    name: String,
    role: &'static str,
    settings: Vec<(&'static str, String)>,
}

/// Returns our own four topics.
fn own_topics(names: &TopicNames) -> [Wanted; 4] {
    let bytes = ("max.message.bytes", MESSAGE_BYTES_MAX.to_string());
    let days = |days: u64| ("retention.ms", (days * DAY_MS).to_string());
    let delete = ("cleanup.policy", "delete".to_owned());
    [
        Wanted {
            name: names.changelog.clone(),
            role: "changelog",
            settings: vec![
                ("cleanup.policy", "compact".to_owned()),
                ("delete.retention.ms", TOMBSTONES_KEPT_MS.to_string()),
                bytes.clone(),
            ],
        },
        Wanted {
            name: names.inbox.clone(),
            role: "inbox",
            settings: vec![
                delete.clone(),
                ("retention.ms", INBOX_KEPT_MS.to_string()),
                bytes.clone(),
            ],
        },
        Wanted {
            name: names.events.clone(),
            role: "events",
            settings: vec![delete.clone(), days(7), bytes.clone()],
        },
        Wanted {
            name: names.dead_letter.clone(),
            role: "dead letters",
            settings: vec![delete, ("retention.ms", "-1".to_owned()), bytes],
        },
    ]
}

fn admin(settings: &KafkaSettings) -> Result<AdminClient<Reports>, LogError> {
    client::admin(settings).create_with_context(Reports).map_err(LogError::Client)
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(REQUEST_TIMEOUT))
        .operation_timeout(Some(REQUEST_TIMEOUT))
}

/// Returns the state of every topic.
///
/// # Errors
/// Kafka does not answer.
pub async fn survey(
    settings: &KafkaSettings,
    names: &TopicNames,
) -> Result<Vec<TopicState>, LogError> {
    let counts = counts(settings, names).await?;
    let owned = own_topics(names);
    let wanted_partitions = counts.get(&names.changelog).copied();
    let existing: Vec<&str> = owned
        .iter()
        .map(|topic| topic.name.as_str())
        .filter(|name| counts.contains_key(*name))
        .collect();
    let real = describe(settings, &existing).await?;
    let mut states: Vec<TopicState> = Vec::new();
    for (role, list) in [
        ("flow started", &names.flow_started),
        ("flow complete", &names.flow_complete),
        ("delivery reports", &names.delivery_report),
    ] {
        states.extend(list.iter().map(|name| TopicState {
            name: name.clone(),
            role,
            own: false,
            partitions: counts.get(name).copied(),
            partitions_wanted: None,
            settings: Vec::new(),
        }));
    }
    states.extend(owned.into_iter().map(|topic| {
        let config = real.get(&topic.name);
        let entry = |key: &str| config.and_then(|entries| entries.get(key)).cloned();
        TopicState {
            partitions: counts.get(&topic.name).copied(),
            partitions_wanted: if topic.role == "inbox" { wanted_partitions } else { None },
            settings: topic
                .settings
                .into_iter()
                .map(|(key, wanted)| (key.to_owned(), wanted, entry(key)))
                .collect(),
            name: topic.name,
            role: topic.role,
            own: true,
        }
    }));
    Ok(states)
}

async fn counts(
    settings: &KafkaSettings,
    names: &TopicNames,
) -> Result<BTreeMap<String, u32>, LogError> {
    let (settings, names) = (settings.clone(), names.clone());
    client::blocking(move || {
        let cluster = Cluster::new(&settings)?;
        cluster.partition_counts(names.all(), Operation::Describe, REQUEST_TIMEOUT)
    })
    .await
}

/// Returns those of `topics` that are compacted.
///
/// # Errors
/// Kafka does not answer.
pub async fn compacted(settings: &KafkaSettings, topics: &[&str]) -> Result<Vec<String>, LogError> {
    let compacts = |config: &BTreeMap<String, String>| {
        config.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"))
    };
    let described = describe(settings, topics).await?.into_iter();
    Ok(described.filter(|(_, config)| compacts(config)).map(|(name, _)| name).collect())
}

async fn describe(
    settings: &KafkaSettings,
    topics: &[&str],
) -> Result<BTreeMap<String, BTreeMap<String, String>>, LogError> {
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let entries = |resource: ConfigResource| {
        let pairs =
            resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
        pairs.collect::<BTreeMap<_, _>>()
    };
    let described = describe_raw(settings, topics).await?;
    Ok(described.into_iter().map(|(name, resource)| (name, entries(resource))).collect())
}

/// Converts the error code that `operation` on `topic` returned.
fn refused(operation: Operation, topic: String, code: RDKafkaErrorCode) -> LogError {
    if rights::is_refusal(Some(code)) {
        return LogError::Denied(vec![Right::on_topic(operation, &topic)]);
    }
    LogError::Topic { topic, what: code.to_string() }
}

async fn describe_raw(
    settings: &KafkaSettings,
    topics: &[&str],
) -> Result<Vec<(String, ConfigResource)>, LogError> {
    let specifiers: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let results = admin(settings)?
        .describe_configs(&specifiers, &options())
        .await
        .map_err(LogError::request("the topics' settings can't be read"))?;
    let (mut described, mut silent) = (Vec::new(), Vec::new());
    for resource in results {
        let resource = resource
            .map_err(|code| refused(Operation::DescribeConfigs, topics.join(", "), code))?;
        let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { continue };
        // rust-rdkafka drops the reason: for a topic with an error it returns an answer without settings.
        if resource.entries.is_empty() {
            silent.push(Right::on_topic(Operation::DescribeConfigs, name));
        } else {
            described.push((name.clone(), resource));
        }
    }
    let Some(Right { resource: Resource::Topic(topic), .. }) = silent.first().cloned() else {
        return Ok(described);
    };
    let asked = settings.clone();
    let missing = client::blocking(move || rights::missing(&asked, &silent)).await?;
    if missing.is_empty() {
        return Err(LogError::Topic { topic, what: "Kafka does not show its settings".to_owned() });
    }
    Err(LogError::Denied(missing))
}

/// Creates those of our own topics that are missing, and returns their names. The changelog gets as many partitions as
/// the largest input, and the inbox as many as the changelog.
///
/// # Errors
/// Kafka does not answer or refuses.
pub async fn create_missing(
    settings: &KafkaSettings,
    names: &TopicNames,
) -> Result<Vec<String>, LogError> {
    // All or none: if a right is missing for one topic, no other is created.
    could_create_missing(settings, names).await?;
    create_as_inputs(settings, names, &options()).await
}

/// Checks whether those of our own topics that are missing could be created, without creating them.
///
/// # Errors
/// Kafka does not answer or would refuse.
pub async fn could_create_missing(
    settings: &KafkaSettings,
    names: &TopicNames,
) -> Result<(), LogError> {
    create_as_inputs(settings, names, &options().validate_only(true)).await.map(|_| ())
}

async fn create_as_inputs(
    settings: &KafkaSettings,
    names: &TopicNames,
    options: &AdminOptions,
) -> Result<Vec<String>, LogError> {
    let counts = counts(settings, names).await?;
    create_own(settings, names, &counts, options).await
}

/// Creates those of our own topics that are missing. `counts` are the partitions of all topics that exist.
async fn create_own(
    settings: &KafkaSettings,
    names: &TopicNames,
    counts: &BTreeMap<String, u32>,
    options: &AdminOptions,
) -> Result<Vec<String>, LogError> {
    let inputs = names.sources().map(|(name, _)| name);
    let largest = inputs.filter_map(|name| counts.get(name)).max().copied();
    // The number of the changelog's partitions is permanent, so it is not guessed.
    let Some(partitions) = counts.get(&names.changelog).copied().or(largest) else {
        return Err(LogError::NoInputs(names.changelog.clone()));
    };
    create((settings, names), partitions, counts, options).await
}

/// Creates those of our own topics that are missing, with this number of partitions. Returns their names.
///
/// # Errors
/// Kafka does not answer or refuses.
pub async fn create_with_partitions(
    settings: &KafkaSettings,
    names: &TopicNames,
    partitions: u32,
) -> Result<Vec<String>, LogError> {
    let counts = counts(settings, names).await?;
    // All or none: if a right is missing for one topic, no other is created.
    create((settings, names), partitions, &counts, &options().validate_only(true)).await?;
    create((settings, names), partitions, &counts, &options()).await
}

/// Creates the inputs that are missing, with this number of partitions and the broker's default settings, and those of
/// our own topics that are missing. Returns the names of all.
///
/// # Errors
/// Kafka does not answer or refuses.
pub async fn create_with_inputs(
    settings: &KafkaSettings,
    names: &TopicNames,
    partitions: u16,
) -> Result<Vec<String>, LogError> {
    let mut counts = counts(settings, names).await?;
    let missing = names.sources().map(|(name, _)| name).filter(|name| !counts.contains_key(*name));
    let new =
        missing.map(|name| NewTopic::new(name, i32::from(partitions), TopicReplication::Fixed(-1)));
    let mut created = create_all(settings, &new.collect::<Vec<_>>(), &options()).await?;
    counts.extend(created.iter().map(|name| (name.clone(), u32::from(partitions))));
    // Brokers show a new topic some time after it is created, so the counts are not read again.
    created.extend(create_own(settings, names, &counts, &options()).await?);
    Ok(created)
}

async fn create(
    (settings, names): (&KafkaSettings, &TopicNames),
    partitions: u32,
    counts: &BTreeMap<String, u32>,
    options: &AdminOptions,
) -> Result<Vec<String>, LogError> {
    let missing: Vec<Wanted> =
        own_topics(names).into_iter().filter(|topic| !counts.contains_key(&topic.name)).collect();
    let new: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|topic| {
            let count = i32::try_from(partitions).unwrap_or(1);
            let fresh = NewTopic::new(&topic.name, count, TopicReplication::Fixed(-1));
            topic.settings.iter().fold(fresh, |fresh, (key, value)| fresh.set(key, value))
        })
        .collect();
    create_all(settings, &new, options).await
}

async fn create_all(
    settings: &KafkaSettings,
    new: &[NewTopic<'_>],
    options: &AdminOptions,
) -> Result<Vec<String>, LogError> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let results = admin(settings)?
        .create_topics(new, options)
        .await
        .map_err(LogError::request("the topics can't be created"))?;
    let mut created = Vec::new();
    for result in results {
        match result {
            Ok(name) => created.push(name),
            // Another instance has created it first.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(refused(Operation::Create, topic, code)),
        }
    }
    Ok(created)
}

/// Corrects wrong settings, and adds the missing partitions to an inbox. Returns the names of the corrected topics.
///
/// # Errors
/// Kafka does not answer or refuses.
pub async fn repair(settings: &KafkaSettings, names: &TopicNames) -> Result<Vec<String>, LogError> {
    let states = survey(settings, names).await?;
    let mut repaired = Vec::new();
    for state in &states {
        if let (Some(has), Some(wanted)) = (state.partitions, state.partitions_wanted)
            && has < wanted
        {
            grow(settings, &state.name, wanted).await?;
            repaired.push(state.name.clone());
        }
    }
    let wrong = |state: &&TopicState| {
        state.own
            && state.partitions.is_some()
            && state
                .settings
                .iter()
                .any(|(key, wanted, real)| !acceptable(key, wanted, real.as_deref()))
    };
    for state in states.iter().filter(wrong) {
        alter(settings, state).await?;
        if !repaired.contains(&state.name) {
            repaired.push(state.name.clone());
        }
    }
    Ok(repaired)
}

async fn grow(settings: &KafkaSettings, topic: &str, partitions: u32) -> Result<(), LogError> {
    let count = usize::try_from(partitions).unwrap_or(usize::MAX);
    let results = admin(settings)?
        .create_partitions(&[NewPartitions::new(topic, count)], &options())
        .await
        .map_err(LogError::request("partitions can't be added to the topic"))?;
    match results.into_iter().next() {
        Some(Err((topic, code))) => Err(refused(Operation::Alter, topic, code)),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Alters a topic's settings. This replaces all of the topic's own settings, so the correct ones are sent again.
async fn alter(settings: &KafkaSettings, state: &TopicState) -> Result<(), LogError> {
    let described = describe_raw(settings, &[&state.name]).await?;
    let entries = described.into_iter().flat_map(|(_, resource)| resource.entries);
    let mut all: BTreeMap<String, String> = entries
        .filter(|entry| entry.source == ConfigSource::DynamicTopic)
        .filter_map(|entry| Some((entry.name, entry.value?)))
        .collect();
    for (key, wanted, real) in &state.settings {
        if !acceptable(key, wanted, real.as_deref()) {
            all.insert(key.clone(), wanted.clone());
        }
    }
    let config = all
        .iter()
        .fold(AlterConfig::new(ResourceSpecifier::Topic(&state.name)), |config, (key, value)| {
            config.set(key, value)
        });
    let results = admin(settings)?
        .alter_configs([&config], &options())
        .await
        .map_err(LogError::request("the topic's settings can't be altered"))?;
    for result in results {
        if let Err((_, code)) = result {
            return Err(refused(Operation::AlterConfigs, state.name.clone(), code));
        }
    }
    Ok(())
}
