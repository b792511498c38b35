//! `ringback offsets`

use super::{FAILED, kafka_failed, load, terminal};
use crate::clock;
use crate::codec::event::MovedBy;
use crate::config::Settings;
use crate::exit::ExitCode;
use crate::log::{Begin, NeededBy};
use crate::offsets::{Aim, Move, MoveRequest, Offsets, OffsetsError, Position, Unusable};
use crate::replay::When;
use crate::telemetry::escape::one_line;
use crate::telemetry::{err_line, with_causes};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::Path;

/// Shows and moves the read positions of the input topics
///
/// A position is stored in the changelog and in the consumer group, and this command moves both together. Do not use
/// Kafka's own tool (kafka-consumer-groups --reset-offsets), which moves the group's offset alone. If the changelog has
/// a position, the daemon ignores a later offset and obeys an earlier one. If it has none, the daemon obeys every
/// offset.
#[derive(Subcommand)]
#[command(after_help = "Example:\n  ringback offsets show")]
pub(super) enum Command {
    Show(Show),
    Skip(Skip),
    Reset(Reset),
}

/// Shows the position of each input partition: in the group, in the state, in the log, and the lag
///
/// Changes nothing, and may run beside the daemon. If the changelog's rows belong to another consumer group or to an
/// interrupted rebuild, it shows no position of the state, and a note. The note "another topic" says that the topic was deleted and created
/// again since it was read: the next start reads it from its beginning (or from `run --from`).
#[derive(Args)]
#[command(after_help = "Example:\n  ringback offsets show --config /etc/ringback/ringback.toml")]
pub(super) struct Show {
    /// Prints a JSON object per partition, each on a line
    #[arg(long)]
    json: bool,
}

/// Skips records of an input partition, so that they are never read
///
/// Stop all instances first. An `offsets_moved` event records the range.
#[derive(Args)]
#[command(
    after_help = "Example:\n  ringback offsets skip --topic flow-complete --partition 3 --records 1 --dry-run"
)]
pub(super) struct Skip {
    /// The input topic
    #[arg(long)]
    topic: String,
    /// The partition's number
    #[arg(long, value_name = "N")]
    partition: i32,
    /// The number of offsets to skip. The markers of producers' transactions take offsets too
    #[arg(long, value_name = "N", required_unless_present = "to", conflicts_with = "to")]
    records: Option<u64>,
    /// The offset of the next record to read
    #[arg(long, value_name = "OFFSET")]
    to: Option<i64>,
    #[command(flatten)]
    how: How,
}

/// Moves the read position of an input, back or forward
///
/// Stop all instances first. A record that is read again is recognised and not sent twice while its uuid is remembered
/// (`[correlation] dedup_window_s`, see config/ringback.toml); older records count as new. An `offsets_moved` event
/// records the move.
#[derive(Args)]
#[command(
    after_help = "Example:\n  ringback offsets reset --topic flow-complete --to 2h --dry-run"
)]
pub(super) struct Reset {
    /// The input topic
    #[arg(long)]
    topic: String,
    /// One partition of the topic; default: all
    #[arg(long, value_name = "N")]
    partition: Option<i32>,
    /// The new position: `beginning`, `end`, an offset, an RFC 3339 time, or an age such as `2h`
    #[arg(long, value_name = "WHERE", value_parser = aim)]
    to: Aim,
    #[command(flatten)]
    how: How,
}

#[derive(Args)]
struct How {
    /// Shows what would be changed, and changes nothing
    #[arg(long)]
    dry_run: bool,
    /// Does not ask for confirmation
    #[arg(long, short)]
    yes: bool,
}

fn aim(text: &str) -> Result<Aim, String> {
    match text {
        "beginning" => return Ok(Aim::Begin(Begin::Beginning)),
        "end" => return Ok(Aim::Begin(Begin::End)),
        _ => {}
    }
    if let Ok(offset) = text.parse() {
        return Ok(Aim::Offset(offset));
    }
    When::parse(text, clock::now()).map(|when| Aim::Begin(Begin::Time(when.at))).map_err(|_| {
        "write `beginning`, `end`, an offset, an RFC 3339 time, or an age such as `2h`".to_owned()
    })
}

pub(super) async fn run(file: &Path, command: Command) -> ExitCode {
    let settings = match load(file) {
        Ok((settings, _)) => settings,
        Err(code) => return code,
    };
    let needed_by = match command {
        Command::Show(_) => NeededBy::Offsets,
        Command::Skip(_) | Command::Reset(_) => NeededBy::Move,
    };
    let done = tokio::task::spawn_blocking(move || {
        perform(&settings, command).unwrap_or_else(|error| refused(&settings, needed_by, &error))
    });
    done.await.unwrap_or(ExitCode::from(FAILED))
}

fn perform(settings: &Settings, command: Command) -> Result<ExitCode, OffsetsError> {
    let offsets = Offsets::new(&settings.kafka, &settings.topics)?;
    match command {
        Command::Show(arguments) => {
            let positions = offsets.show()?;
            warn(settings, &positions);
            show(&positions, arguments.json);
            Ok(ExitCode::SUCCESS)
        }
        Command::Skip(Skip { topic, partition, records, to, how }) => {
            let aim = match (records, to) {
                (Some(records), _) => Aim::Records(records),
                (None, to) => Aim::Offset(to.unwrap_or(0)),
            };
            let request = MoveRequest { topic, partition: Some(partition), aim, by: MovedBy::Skip };
            shift(&offsets, &request, &how)
        }
        Command::Reset(Reset { topic, partition, to, how }) => {
            let request = MoveRequest { topic, partition, aim: to, by: MovedBy::Reset };
            shift(&offsets, &request, &how)
        }
    }
}

fn shift(offsets: &Offsets, request: &MoveRequest, how: &How) -> Result<ExitCode, OffsetsError> {
    let moves = offsets.plan(request)?;
    terminal::print(moves.iter().map(line));
    if how.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    if !terminal::confirm("Move these positions?", how.yes) {
        err_line!("nothing was changed");
        return Ok(ExitCode::from(FAILED));
    }
    offsets.apply(request)?;
    terminal::print(["moved; start the instances again".to_owned()]);
    Ok(ExitCode::SUCCESS)
}

fn line(moved: &Move) -> String {
    let (from, to) = (moved.from(), moved.to);
    let place = &moved.position.place;
    let what = match to.cmp(&from) {
        std::cmp::Ordering::Less => format!("{} records are read again", from - to),
        std::cmp::Ordering::Equal => "nothing changes".to_owned(),
        std::cmp::Ordering::Greater => format!("{} records are skipped", to - from),
    };
    format!("{}, partition {}: {from} -> {to}: {what}", place.topic, place.partition)
}

/// Warns once about changelog partitions whose rows are unusable.
fn warn(settings: &Settings, positions: &[Position]) {
    let mut unusable = positions.iter().filter_map(|it| Some((it.owner?, it.unusable.as_ref()?)));
    if let Some((partition, why)) = unusable.next() {
        let (topic, why) = (&settings.topics.changelog, why.explain(&settings.kafka.group_id));
        err_line!("warning: topic {topic}, partition {partition}: {why}");
    }
}

fn show(positions: &[Position], as_json: bool) {
    if as_json {
        terminal::print(positions.iter().map(json_of));
        return;
    }
    let titles = ["TOPIC", "PARTITION", "GROUP", "STATE", "FIRST", "END", "LAG", "NOTE"];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(positions.iter().map(row));
    terminal::print(terminal::table(&rows));
}

fn row(position: &Position) -> [String; 8] {
    let text = |offset: Option<i64>| offset.map_or("-".to_owned(), |offset| offset.to_string());
    let note = if !position.is_same_topic() {
        "another topic: it was deleted and created again"
    } else if position.owner.is_none() {
        "only forwarded"
    } else {
        position.unusable.as_ref().map_or("", note)
    };
    [
        one_line(&position.place.topic).into_owned(),
        position.place.partition.to_string(),
        text(position.group.as_ref().map(|group| group.offset)),
        text(position.state.as_ref().map(|state| state.next_offset)),
        position.first.to_string(),
        position.end.to_string(),
        position.lag().to_string(),
        note.to_owned(),
    ]
}

const fn note(unusable: &Unusable) -> &'static str {
    match unusable {
        Unusable::OtherGroup(_) => "the changelog's rows belong to another consumer group",
        Unusable::InterruptedRebuild => "a rebuild of the changelog was interrupted",
        Unusable::UnfinishedCopy(_) => "the changelog is an unfinished copy of another one",
        Unusable::Replaced(_) => "another changelog has replaced this one",
    }
}

fn json_of(position: &Position) -> String {
    json!({
        "topic": &*position.place.topic,
        "partition": position.place.partition,
        "group_offset": position.group.as_ref().map(|group| group.offset),
        "state_offset": position.state.as_ref().map(|state| state.next_offset),
        "state_unusable": position.unusable.as_ref().map(note),
        "first_offset": position.first,
        "end_offset": position.end,
        "next_offset": position.next(),
        "lag": position.lag(),
        "same_topic": position.is_same_topic(),
        "forwarded": position.owner.is_none(),
    })
    .to_string()
}

fn refused(settings: &Settings, command: NeededBy, error: &OffsetsError) -> ExitCode {
    match error {
        OffsetsError::Kafka(error) => kafka_failed(settings, command, error),
        OffsetsError::TakenOver | OffsetsError::Members(_) | OffsetsError::Refused(_) => {
            err_line!("ringback: {}", with_causes(error));
            ExitCode::from(FAILED)
        }
    }
}
