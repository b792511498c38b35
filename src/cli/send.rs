//! `ringback send`

use super::terminal::print;
use super::{FAILED, USAGE, kafka_failed, load_all};
use crate::codec::source::{Decoded, Decoder};
use crate::config::{Accounts, Settings};
use crate::demo::Sample;
use crate::domain::RecordKind;
use crate::exit::ExitCode;
use crate::log::{LogError, NeededBy, Sender, TopicNames};
use crate::replay::Pace;
use crate::telemetry::err_line;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::BufRead;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};

/// Writes records to the inputs: samples, or the lines of a file
///
/// It is meant for trying Ringback out. Each record has its phonon-uuid as key and goes to the partition that owns the
/// key, as records of the platform do.
#[derive(Args)]
#[command(after_help = "Example:
  ringback send --sample
  ringback send --sample --count 1000 --rate 50
  ringback send records.jsonl
  kcat -C -t flow-complete -e | ringback send -")]
pub(super) struct Arguments {
    /// A file with a JSON record in each line; - is stdin. Each record goes to the input of its kind: flow complete,
    /// delivery report or call begin
    #[arg(value_name = "FILE", required_unless_present = "sample", conflicts_with = "sample")]
    file: Option<PathBuf>,
    /// Sends the sample of a flow complete record and its delivery report, with a new phonon-uuid
    #[arg(long)]
    sample: bool,
    /// The number of samples
    #[arg(long, requires = "sample", default_value = "1", value_name = "N")]
    count: NonZeroU64,
    /// The account of the samples. Default: the first one that has a default webhook
    #[arg(long, requires = "sample", value_name = "ID")]
    account: Option<i64>,
    /// The maximum number of records per second
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,
}

/// The reason why not all records were sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Kafka(#[from] LogError),
    #[error("{}: line {line}: {problem}", file.display())]
    Line { file: PathBuf, line: u64, problem: String },
    #[error("{} can't be read", file.display())]
    File { file: PathBuf, source: std::io::Error },
    /// The records can't be sent as the arguments and the configuration are.
    #[error("{0}")]
    Usage(&'static str),
}

pub(super) async fn run(file: &Path, arguments: Arguments) -> ExitCode {
    let (settings, accounts) = match load_all(file).await {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    match tokio::task::block_in_place(|| send(&settings, &accounts, &arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(SendError::Kafka(error)) => kafka_failed(&settings, NeededBy::Send, &error.into()),
        Err(error @ (SendError::Line { .. } | SendError::Usage(_))) => {
            err_line!("ringback: {error}");
            ExitCode::from(USAGE)
        }
        Err(SendError::File { file, source }) => {
            err_line!("ringback: {} can't be read: {source}", file.display());
            ExitCode::from(FAILED)
        }
    }
}

/// Sends everything, and prints what was written, also if a line can't be sent.
fn send(settings: &Settings, accounts: &Accounts, arguments: &Arguments) -> Result<(), SendError> {
    let names = &settings.topics;
    let topics: Vec<String> = names.sources().map(|(name, _)| name.clone()).collect();
    let sender = Sender::open(&settings.kafka, &topics)?;
    let mut sending = Sending {
        sender,
        names,
        pace: Pace::new(arguments.rate),
        bar: bar(),
        sent: BTreeMap::new(),
        uuid: None,
    };
    let sent = match &arguments.file {
        None => samples(&mut sending, accounts, arguments),
        Some(file) if file.as_os_str() == "-" => lines(&mut sending, file, std::io::stdin().lock()),
        Some(file) => std::fs::File::open(file)
            .map_err(|source| SendError::File { file: file.clone(), source })
            .and_then(|opened| lines(&mut sending, file, std::io::BufReader::new(opened))),
    };
    if let Err(error @ SendError::Kafka(_)) = sent {
        return Err(error);
    }
    print(sending.finish()?);
    sent
}

/// Sends `count` samples.
fn samples(
    sending: &mut Sending<'_>,
    accounts: &Accounts,
    arguments: &Arguments,
) -> Result<(), SendError> {
    let with_webhook =
        accounts.accounts.iter().find(|(_, policy)| policy.default_webhook.is_some());
    let account = arguments.account.or(with_webhook.map(|(id, _)| id.0)).ok_or(
        SendError::Usage("no account has a default webhook; name one with --account, or add a webhook with `default = true`"),
    )?;
    let count = arguments.count.get();
    sending.bar.set_length(count * 2);
    for _ in 0..count {
        let sample =
            Sample::fresh().ok_or(SendError::Usage("the system provides no random bytes"))?;
        let sample = sample.of_account(account);
        sending.record(RecordKind::Flow, &sample.uuid, sample.flow.as_bytes())?;
        sending.record(RecordKind::Report, &sample.uuid, sample.report.as_bytes())?;
        sending.uuid = (count == 1).then_some(sample.uuid);
    }
    Ok(())
}

/// Sends each line. Empty lines are skipped.
fn lines(sending: &mut Sending<'_>, file: &Path, input: impl BufRead) -> Result<(), SendError> {
    let mut decoder = Decoder::new(false);
    for (index, line) in input.lines().enumerate() {
        let line = line.map_err(|source| SendError::File { file: file.to_owned(), source })?;
        if line.trim().is_empty() {
            continue;
        }
        let (kind, uuid) = recognise(&mut decoder, line.as_bytes()).map_err(|problem| {
            let line = u64::try_from(index).unwrap_or(u64::MAX).saturating_add(1);
            SendError::Line { file: file.to_owned(), line, problem }
        })?;
        sending.record(kind, &uuid, line.as_bytes())?;
    }
    Ok(())
}

/// Returns the kind and the phonon-uuid of a record.
fn recognise(decoder: &mut Decoder, record: &[u8]) -> Result<(RecordKind, String), String> {
    let mut problem = String::new();
    for kind in [RecordKind::Flow, RecordKind::Report, RecordKind::Start] {
        match decoder.decode(kind, record) {
            Decoded::Flow(flow) => return Ok((kind, flow.uuid.as_str().to_owned())),
            Decoded::Report(report) => return Ok((kind, report.uuid.as_str().to_owned())),
            Decoded::Start(start) => return Ok((kind, start.uuid.as_str().to_owned())),
            Decoded::Bad(bad) if problem.is_empty() => problem = bad.detail,
            Decoded::Items(_) | Decoded::Skipped | Decoded::NeedsSchema(_) | Decoded::Bad(_) => {}
        }
    }
    Err(format!("it is no flow complete record, delivery report or call begin record: {problem}"))
}

struct Sending<'a> {
    sender: Sender,
    names: &'a TopicNames,
    pace: Pace,
    bar: ProgressBar,
    /// The number of records by topic.
    sent: BTreeMap<String, u64>,
    /// The phonon-uuid, if all records have the same.
    uuid: Option<String>,
}

impl Sending<'_> {
    fn record(&mut self, kind: RecordKind, uuid: &str, value: &[u8]) -> Result<(), SendError> {
        let topics = match kind {
            RecordKind::Flow => &self.names.flow_complete,
            RecordKind::Report => &self.names.delivery_report,
            RecordKind::Start => &self.names.flow_started,
        };
        let topic = topics
            .first()
            .ok_or(SendError::Usage("[topics] names no input for records of this kind"))?;
        while let wait = self.pace.wait()
            && !wait.is_zero()
        {
            std::thread::sleep(wait);
        }
        self.sender.send(topic, Some(uuid), value)?;
        *self.sent.entry(topic.clone()).or_default() += 1;
        self.bar.inc(1);
        Ok(())
    }

    fn finish(self) -> Result<Vec<String>, SendError> {
        self.sender.finish()?;
        self.bar.finish_and_clear();
        let mut lines: Vec<String> = self
            .sent
            .iter()
            .map(|(topic, count)| format!("{topic}: {count} records written"))
            .collect();
        if let Some(uuid) = self.uuid {
            lines.push(format!("`ringback trace {uuid}` shows what becomes of them"));
        }
        if lines.is_empty() {
            lines.push("no record was written".to_owned());
        }
        Ok(lines)
    }
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("sending {wide_bar} {human_pos}, {per_sec}");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
