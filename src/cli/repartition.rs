//! `ringback repartition`

use super::changelog::interruptible;
use super::{FAILED, kafka_failed, load, terminal};
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::log::NeededBy;
use crate::repartition::{
    Plan, Progress, Repartition, RepartitionError, RepartitionRequest, State, Summary,
};
use crate::telemetry::{err_line, with_causes};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Copies changelog and inbox to new topics with another number of partitions
///
/// The instances run meanwhile. When the copy is up to date, the command says so and waits: stop all instances then.
/// Within seconds it copies the rest, compares all rows of both changelogs, and prints the configuration that the
/// instances need from then on. No delivery is lost and none is sent twice. The former topics keep their records, and
/// an instance that still has the former configuration ends with 78.
///
/// Until then nothing changes for the instances: if the command is interrupted or fails, they go on as before. Run the
/// same command again to continue. Run it with other topics to go back to the former number.
///
/// The inputs keep their partitions. An input with another number than the new topics costs speed only. On a terminal
/// the command asks before it writes; in a script it does not.
#[derive(Args)]
#[command(after_help = "Example:\n  ringback repartition --partitions 24 --dry-run")]
pub(super) struct Arguments {
    /// The new number of partitions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=PARTITIONS_MAX))]
    partitions: u32,
    /// The new changelog; default: the name of the present one with -N at its end
    #[arg(long, value_name = "TOPIC")]
    changelog: Option<String>,
    /// The new inbox; default: the name of the present one with -N at its end
    #[arg(long, value_name = "TOPIC")]
    inbox: Option<String>,
    /// How long to wait for the instances to stop once the copy is up to date; default: for ever
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    /// Shows what would be done, and writes nothing
    #[arg(long)]
    dry_run: bool,
    /// Does not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    /// Prints the result as a JSON object
    #[arg(long)]
    json: bool,
}

const PARTITIONS_MAX: i64 = 100_000;

pub(super) async fn run(file: &Path, arguments: Arguments) -> ExitCode {
    let settings = match load(file) {
        Ok((settings, _)) => settings,
        Err(code) => return code,
    };
    interruptible(move |runtime, interrupted| {
        let done = repartition(&settings, &arguments, runtime, interrupted);
        done.unwrap_or_else(|error| refused(&settings, &error))
    })
    .await
}

/// Returns the default name of the topic that replaces `topic`.
fn renamed(topic: &str, partitions: u32) -> String {
    let stem = topic.rsplit_once('-').filter(|(_, end)| end.parse::<u32>().is_ok());
    format!("{}-{partitions}", stem.map_or(topic, |(stem, _)| stem))
}

fn repartition(
    settings: &Settings,
    arguments: &Arguments,
    runtime: &tokio::runtime::Handle,
    interrupted: &AtomicBool,
) -> Result<ExitCode, RepartitionError> {
    let partitions = arguments.partitions;
    let name = |given: &Option<String>, present: &str| {
        given.clone().unwrap_or_else(|| renamed(present, partitions))
    };
    let request = RepartitionRequest {
        partitions,
        changelog: name(&arguments.changelog, &settings.topics.changelog),
        inbox: name(&arguments.inbox, &settings.topics.inbox),
        wait: arguments.wait.map(Duration::from_secs),
    };
    let repartition = Repartition::new(&settings.kafka, &settings.topics, request.clone())?;
    let plan = repartition.plan()?;
    if !arguments.json {
        terminal::print(lines(settings, &request, &plan));
    }
    let is_asked = !arguments.dry_run && plan.state != State::Done;
    if is_asked && !terminal::confirm("Copy changelog and inbox?", arguments.yes) {
        err_line!("nothing was written");
        return Ok(ExitCode::from(FAILED));
    }
    let mut summary = None;
    if is_asked {
        let mut shown = Shown::default();
        summary = Some(repartition.run(runtime, &mut |progress| {
            shown.see(progress);
            match interrupted.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?);
        shown.bar.finish_and_clear();
    }
    if arguments.json {
        terminal::print([json_of(settings, &request, &plan, summary)]);
    } else if let Some(summary) = summary {
        terminal::print(finished(&summary));
    }
    if !arguments.json && (summary.is_some() || plan.state == State::Done) {
        terminal::print(next_steps(settings, &request));
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows the progress as a bar, and says once when the instances can be stopped.
struct Shown {
    bar: ProgressBar,
    is_waiting: bool,
}

impl Default for Shown {
    fn default() -> Self {
        Self { bar: ProgressBar::no_length(), is_waiting: false }
    }
}

impl Shown {
    fn see(&mut self, progress: Progress) {
        let (text, done, all) = match progress {
            Progress::Copying { done, all } => ("copying", done, all),
            Progress::Comparing { done, all } => ("comparing", done, all),
            Progress::Waiting { members } => {
                if !std::mem::replace(&mut self.is_waiting, true) {
                    let text = format!(
                        "the copy is up to date, and follows {members} running instances: stop all instances now"
                    );
                    self.bar.suspend(|| err_line!("{text}"));
                }
                return;
            }
        };
        self.bar.set_message(text);
        self.bar.set_length(all);
        self.bar.set_position(done);
    }
}

fn lines(settings: &Settings, request: &RepartitionRequest, plan: &Plan) -> Vec<String> {
    let (old, new, count) = (&settings.topics, request, request.partitions);
    let state = match plan.state {
        State::New => format!("at most {} records are copied", plan.offsets),
        State::Begun => "an interrupted run has copied a part, and this one continues".to_owned(),
        State::Done => "this is done".to_owned(),
    };
    let (former, changelog) = (plan.former_partitions, &old.changelog);
    let mut lines = vec![
        format!(
            "topic {changelog} ({former} partitions) -> topic {} ({count} partitions): {state}",
            new.changelog
        ),
        format!("topic {} -> topic {} ({count} partitions)", old.inbox, new.inbox),
    ];
    lines.extend(plan.forwarded.iter().map(|(topic, has)| {
        format!(
            "input {topic} has {has} partitions: with {count}, its records would not have to pass the inbox"
        )
    }));
    lines
}

fn finished(summary: &Summary) -> Vec<String> {
    let Summary { rows, inbox, stopped, .. } = summary;
    vec![format!(
        "done: {rows} rows are equal in both changelogs, {inbox} unread records of the inbox were copied; the instances had \
         to wait for {:.1} s",
        stopped.as_secs_f64()
    )]
}

fn next_steps(settings: &Settings, request: &RepartitionRequest) -> Vec<String> {
    let RepartitionRequest { changelog, inbox, .. } = request;
    vec![
        "set this in the configuration of every instance, then start the instances:".to_owned(),
        "  [topics]".to_owned(),
        format!("  changelog = \"{changelog}\""),
        format!("  inbox = \"{inbox}\""),
        "or, where the environment sets these keys:".to_owned(),
        format!("  RINGBACK__TOPICS__CHANGELOG={changelog}"),
        format!("  RINGBACK__TOPICS__INBOX={inbox}"),
        format!(
            "the topics {} and {} are no longer used; delete them when the instances are ready",
            settings.topics.changelog, settings.topics.inbox
        ),
    ]
}

fn json_of(
    settings: &Settings,
    request: &RepartitionRequest,
    plan: &Plan,
    summary: Option<Summary>,
) -> String {
    let state = match plan.state {
        State::New => "new",
        State::Begun => "begun",
        State::Done => "done",
    };
    let forwarded = plan.forwarded.iter();
    let forwarded =
        forwarded.map(|(topic, partitions)| json!({"topic": topic, "partitions": partitions}));
    json!({
        "former_changelog": settings.topics.changelog,
        "former_inbox": settings.topics.inbox,
        "former_partitions": plan.former_partitions,
        "changelog": request.changelog,
        "inbox": request.inbox,
        "partitions": request.partitions,
        "state": state,
        "records_max": plan.offsets,
        "forwarded": forwarded.collect::<Vec<_>>(),
        "done": plan.state == State::Done || summary.is_some(),
        "copied": summary.map(|it| it.copied),
        "rows": summary.map(|it| it.rows),
        "inbox_records": summary.map(|it| it.inbox),
        "stopped_s": summary.map(|it| it.stopped.as_secs_f64()),
    })
    .to_string()
}

fn refused(settings: &Settings, error: &RepartitionError) -> ExitCode {
    match error {
        RepartitionError::Kafka(error) => kafka_failed(settings, NeededBy::Repartition, error),
        RepartitionError::TakenOver
        | RepartitionError::Members(_)
        | RepartitionError::StillRunning(_)
        | RepartitionError::Refused(_)
        | RepartitionError::Interrupted => {
            err_line!("ringback: {}", with_causes(error));
            ExitCode::from(FAILED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::renamed;

    #[test]
    fn the_default_name_ends_with_the_number_of_partitions() {
        for (topic, name) in [
            ("ringback.changelog", "ringback.changelog-24"),
            ("ringback.changelog-6", "ringback.changelog-24"),
            ("my-changelog", "my-changelog-24"),
            ("6", "6-24"),
        ] {
            assert_eq!(renamed(topic, 24), name);
        }
    }
}
