//! `ringback webhook list`

use crate::cli::terminal::{print, progress, table};
use crate::cli::{FAILED, UNAVAILABLE, chain, kafka_failed, load};
use crate::clock;
use crate::codec::event::rfc3339;
use crate::codec::row::{self, RowError};
use crate::config::{Accounts, Settings};
use crate::delivery::{PerSecond, Webhook};
use crate::domain::{EndpointState, Timestamp, WebhookName, WebhookPolicy};
use crate::exit::ExitCode;
use crate::log::{LogError, NeededBy, ScanFrom, Scanned, Scanner};
use crate::store::RowKey;
use crate::telemetry::err_line;
use bytes::Bytes;
use clap::Args;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::Path;

/// Shows the configured webhooks, and how their endpoints do
///
/// The configuration says what there is; the changelog, which is read whole, says which endpoints are disabled, asked to be
/// left alone, or only fail. Every partition remembers that for itself, so that the earliest of them counts.
/// URLs show without their query.
#[derive(Args)]
#[command(after_help = "\
Example:
  ringback webhook list --config /etc/ringback/ringback.toml
  ringback webhook list --json | jq -r 'select(.state == \"disabled\").name'")]
pub(in crate::cli) struct Arguments {
    /// Prints a JSON object per webhook, each on a line
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(file: &Path, arguments: &Arguments) -> ExitCode {
    let (settings, accounts) = match load(file) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let of_command = settings.clone();
    let states = match tokio::task::spawn_blocking(move || read(&of_command)).await {
        Ok(Ok(states)) => states,
        Ok(Err(ListError::Log(error))) => {
            let told = (&error as &dyn std::error::Error, Some(&error));
            return kafka_failed(&settings, NeededBy::Webhooks, told, UNAVAILABLE);
        }
        Ok(Err(error @ ListError::Row(..))) => {
            err_line!("{}", chain(&error));
            return ExitCode::from(FAILED);
        }
        Err(error) => {
            err_line!("ringback: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let now = clock::wall();
    let shown: Vec<Shown<'_>> = accounts
        .webhooks
        .values()
        .map(|(webhook, rules)| {
            let known = states.get(&webhook.name).cloned().unwrap_or_default();
            Shown::of(&accounts, webhook, rules, &known, now)
        })
        .collect();
    print(if arguments.json { json_lines(&shown) } else { text_lines(&shown) });
    ExitCode::SUCCESS
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
enum ListError {
    /// Kafka.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A newer version wrote it, or it is damaged.
    #[error("partition {0} of the changelog, offset {1}: the row can't be read by this version")]
    Row(i32, i64, #[source] RowError),
}

/// What the partitions remember of each endpoint. Blocks.
fn read(settings: &Settings) -> Result<HashMap<WebhookName, Known>, ListError> {
    let topic = &settings.topics.changelog;
    let scanner = Scanner::new(&settings.kafka)?;
    let ranges = scanner.all(topic, ScanFrom::Beginning)?;
    let mut rows: BTreeMap<(i32, WebhookName), (i64, Bytes)> = BTreeMap::new();
    let bar = progress(topic);
    let _whole = scanner.read(topic, &ranges, &mut |scanned| {
        match scanned {
            Scanned::Record(record) => {
                if let Some(RowKey::Endpoint(webhook)) = record.key().and_then(RowKey::parse) {
                    let place = (record.partition(), webhook);
                    match record.value().filter(|value| !value.is_empty()) {
                        Some(value) => {
                            rows.insert(place, (record.offset(), Bytes::copy_from_slice(value)));
                        }
                        // It does well.
                        None => drop(rows.remove(&place)),
                    }
                }
            }
            Scanned::Progress { done, all } => {
                bar.set_length(all);
                bar.set_position(done);
            }
        }
        ControlFlow::Continue(())
    })?;
    let mut known: HashMap<WebhookName, Known> = HashMap::new();
    for ((partition, webhook), (offset, value)) in rows {
        let state = row::decode_endpoint(&value)
            .map_err(|error| ListError::Row(partition, offset, error))?;
        known.entry(webhook).or_default().add(&state);
    }
    Ok(known)
}

/// What all partitions together remember of an endpoint.
#[derive(Clone, Debug, Default)]
struct Known {
    /// When, and why.
    disabled: Option<(Timestamp, &'static str)>,
    held_until: Option<Timestamp>,
    failing_since: Option<Timestamp>,
}

impl Known {
    fn add(&mut self, state: &EndpointState) {
        let disabled = state.disabled.map(|disabled| (disabled.at, disabled.cause.as_str()));
        self.disabled = [self.disabled, disabled].into_iter().flatten().min();
        self.held_until = self.held_until.max(state.held_until);
        self.failing_since = [self.failing_since, state.failing_since].into_iter().flatten().min();
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    account_id: i64,
    default: bool,
    method: &'a str,
    url: String,
    #[serde(serialize_with = "plain")]
    rate_per_second: Option<PerSecond>,
    burst: Option<u32>,
    in_flight_max: u32,
    request_timeout_ms: u64,
    attempts_max: u32,
    /// `enabled`, `held`, `failing` or `disabled`.
    state: &'static str,
    disabled_at: Option<String>,
    disabled_cause: Option<&'static str>,
    held_until: Option<String>,
    failing_since: Option<String>,
}

/// A whole number without a fraction, as it was written.
fn plain<S: Serializer>(rate: &Option<PerSecond>, to: S) -> Result<S::Ok, S::Error> {
    let number = rate.and_then(|rate| rate.to_string().parse::<serde_json::Number>().ok());
    number.serialize(to)
}

impl<'a> Shown<'a> {
    fn of(
        accounts: &Accounts,
        webhook: &'a Webhook,
        rules: &WebhookPolicy,
        known: &Known,
        now: Timestamp,
    ) -> Self {
        let account = accounts.accounts.get(&webhook.account);
        let default = account.and_then(|account| account.default_webhook.as_ref());
        let held_until = known.held_until.filter(|until| *until > now);
        let state = match known {
            Known { disabled: Some(_), .. } => "disabled",
            Known { .. } if held_until.is_some() => "held",
            Known { failing_since: Some(_), .. } => "failing",
            Known { .. } => "enabled",
        };
        let limits = &webhook.limits;
        Self {
            name: webhook.name.as_str(),
            account_id: webhook.account.0,
            default: default == Some(&webhook.name),
            method: webhook.method.as_str(),
            url: webhook.shown_url(),
            rate_per_second: limits.rate_per_second,
            burst: limits.burst.map(Into::into),
            in_flight_max: limits.in_flight_max.into(),
            request_timeout_ms: u64::try_from(webhook.request_timeout.as_millis())
                .unwrap_or(u64::MAX),
            attempts_max: rules.attempts_max,
            state,
            disabled_at: known.disabled.map(|(at, _)| rfc3339(at)),
            disabled_cause: known.disabled.map(|(_, cause)| cause),
            held_until: held_until.map(rfc3339),
            failing_since: known.failing_since.map(rfc3339),
        }
    }

    /// The state in words.
    fn words(&self) -> String {
        let mut words = Vec::new();
        if let (Some(at), Some(cause)) = (&self.disabled_at, self.disabled_cause) {
            words.push(format!("disabled since {at} ({cause})"));
        }
        words.extend(self.held_until.as_ref().map(|until| format!("held until {until}")));
        words.extend(self.failing_since.as_ref().map(|since| format!("failing since {since}")));
        if words.is_empty() { "enabled".to_owned() } else { words.join(", ") }
    }
}

fn json_lines(all: &[Shown<'_>]) -> Vec<String> {
    all.iter().filter_map(|webhook| serde_json::to_string(webhook).ok()).collect()
}

const HEAD: [&str; 8] =
    ["NAME", "ACCOUNT", "DEFAULT", "RATE/S", "IN FLIGHT", "TIME-OUT", "URL", "STATE"];

fn text_lines(all: &[Shown<'_>]) -> Vec<String> {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(all.iter().map(|webhook| {
        [
            webhook.name.to_owned(),
            webhook.account_id.to_string(),
            if webhook.default { "yes" } else { "no" }.to_owned(),
            webhook.rate_per_second.map_or("-".to_owned(), |rate| rate.to_string()),
            webhook.in_flight_max.to_string(),
            format!("{} ms", webhook.request_timeout_ms),
            webhook.url.clone(),
            webhook.words(),
        ]
    }));
    table(&lines)
}
