//! Checks the rights in Kafka. The daemon needs all of its rights; missing rights of other commands are only notes.

use crate::config::Settings;
use crate::log::{self, LogError, Missing, NeededBy, Resource, Right, TopicState};
use crate::telemetry::{err_line, out_line};

/// Tests every right and prints the missing ones. Returns whether the daemon has all of its own.
pub(super) async fn check(settings: &Settings) -> Result<bool, LogError> {
    let asked = settings.clone();
    let mut missing = log::blocking(move || missing(&asked)).await?;
    let (kafka, names) = (&settings.kafka, &settings.topics);
    let mut of_run = of(&missing, settings, NeededBy::Run);
    if of_run.is_empty() {
        // The right to create topics matters only while topics of the daemon are missing.
        let states = log::survey(kafka, names).await?;
        let is_missing = |own| {
            states.iter().any(|state: &TopicState| state.own == own && state.partitions.is_none())
        };
        if is_missing(true)
            && !is_missing(false)
            && let Err(LogError::Denied(rights)) = log::could_create_missing(kafka, names).await
        {
            missing.extend(rights.clone());
            of_run = rights;
        }
    }
    if of_run.is_empty() {
        out_line!("Kafka at {}: the daemon has all rights that it needs", kafka.bootstrap_servers);
    } else {
        err_line!("{}", Missing(&of_run, kafka));
    }
    let is_of_others = |command: &NeededBy| match command {
        NeededBy::Run => false,
        NeededBy::Sink => settings.sink.is_some(),
        NeededBy::Verify
        | NeededBy::Trace
        | NeededBy::Letters
        | NeededBy::Replay
        | NeededBy::Webhooks
        | NeededBy::Enable
        | NeededBy::Offsets
        | NeededBy::Move
        | NeededBy::Rebuild
        | NeededBy::Repartition
        | NeededBy::Topics
        | NeededBy::Create
        | NeededBy::Alter
        | NeededBy::Send => true,
    };
    for command in NeededBy::ALL.into_iter().filter(is_of_others) {
        for right in of(&missing, settings, command) {
            let grant = right.grant(kafka);
            err_line!("note: `ringback {}` needs the right {right}; {grant}", command.as_str());
        }
    }
    Ok(of_run.is_empty())
}

fn of(missing: &[Right], settings: &Settings, command: NeededBy) -> Vec<Right> {
    let wanted = command.rights(&settings.kafka, &settings.topics).into_iter();
    wanted.filter(|right| missing.contains(right)).collect()
}

/// Returns the missing rights. Blocks.
fn missing(settings: &Settings) -> Result<Vec<Right>, LogError> {
    let kafka = &settings.kafka;
    let needs = log::needs(kafka, &settings.topics).into_iter();
    let all: Vec<Right> = needs.map(|need| need.right).collect();
    let mut missing = log::missing(kafka, &all)?;
    for right in all {
        if let Resource::TransactionalId(id) = &right.resource
            && !log::check_transactional(kafka, id)?
        {
            missing.push(right);
        }
    }
    Ok(missing)
}
