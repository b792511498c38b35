//! `ringback webhook test`

use super::daemon::{self, Daemon};
use super::find;
use crate::cli::terminal::{confirm, print};
use crate::cli::{CONFIGURATION, FAILED, refuse, stored};
use crate::config::Loaded;
use crate::delivery::{Names, Trial, Trust};
use crate::domain::{Outcome, Phase, Verdict};
use crate::exit::ExitCode;
use crate::inspect::trial::{Prepared, TrialView};
use crate::telemetry::escape::one_line;
use crate::telemetry::{err_line, with_causes};
use clap::Args;
use serde::Serialize;
use std::path::Path;

/// Sends one signed test message, and shows request, answer and timings
///
/// It uses the same client, timeouts, TLS, address policy, signature and headers as every delivery. It is not a
/// delivery: its webhook-id begins with test_ and is new each time, its phonon-uuid is all zeros, and nothing about it
/// is written to Kafka. Secrets in the request and the URL's query are shown as ***.
///
/// It uses the configuration files as they are now. If a daemon answers at `http.listen` and runs another
/// configuration, a warning on stderr names the keys that differ, and says whether SIGHUP or a restart applies them.
///
/// Exits with 1 if the endpoint did not accept the message.
#[derive(Args)]
#[command(after_help = "\
Example:
  ringback webhook test crm --config /etc/ringback/ringback.toml
  ringback webhook test crm --phase 2 --json | jq .outcome")]
pub(in crate::cli) struct Arguments {
    /// The webhook's name in the accounts file
    #[arg(value_name = "NAME")]
    name: String,
    /// The phase whose body is sent
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    phase: u8,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    /// Does not ask for confirmation, even on a terminal
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(file: &Path, arguments: &Arguments) -> ExitCode {
    let Loaded { settings, accounts: of_file, effective, .. } = match Loaded::load(file) {
        Ok(loaded) => loaded,
        Err(faults) => return refuse(&faults),
    };
    let accounts = match stored(&settings).await {
        Ok(rows) => rows.map_or(of_file, |rows| rows.accounts().clone()),
        Err(code) => return code,
    };
    let webhook = match find(&accounts, &arguments.name) {
        Ok(webhook) => webhook,
        Err(code) => return code,
    };
    let phase = if arguments.phase == 1 { Phase::One } else { Phase::Two };
    let attach_keys =
        accounts.accounts.get(&webhook.account).is_some_and(|account| account.attach_flow_keys);
    let prepared = match Prepared::new(webhook, &accounts.definitions, attach_keys, phase) {
        Ok(prepared) => prepared,
        Err(error) => {
            err_line!("ringback: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let trust = match Trust::new() {
        Ok(trust) => trust,
        Err(error) => {
            err_line!("{}", with_causes(&error));
            return ExitCode::from(CONFIGURATION);
        }
    };
    let daemon = daemon::ask(&settings.http, &effective, &trust).await;
    if let Some(daemon) = &daemon {
        daemon.warn();
    }
    let url = webhook.shown_url();
    if !confirm(
        &format!("Send a test message of phase {} to {url}?", phase.number()),
        arguments.yes,
    ) {
        return ExitCode::from(FAILED);
    }
    let names = Names::new(&settings.delivery.name_servers);
    let addresses = &settings.delivery.addresses;
    let made = Trial::make(webhook, &trust, addresses, &names, &prepared.message).await;
    let trial = match made {
        Ok(trial) => trial,
        Err(error) => {
            err_line!("{}: {}", settings.accounts_file.display(), with_causes(&error));
            return ExitCode::from(CONFIGURATION);
        }
    };
    let shown = Shown { trial: TrialView::of(webhook, &url, &prepared, &trial), daemon };
    print(if arguments.json { json_lines(&shown) } else { text_lines(&shown, &trial.outcome) });
    if shown.trial.delivered { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// A test message with its result, and the running daemon.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    trial: TrialView<'a>,
    /// Whether the running daemon has the same configuration. `None` if no daemon answers.
    daemon: Option<Daemon>,
}

fn json_lines(shown: &Shown<'_>) -> Vec<String> {
    serde_json::to_string(shown).into_iter().collect()
}

/// Formats the exchange like curl: `>` marks the request, `<` the answer.
fn text_lines(shown: &Shown<'_>, outcome: &Outcome) -> Vec<String> {
    let TrialView { request, answer, timings, .. } = &shown.trial;
    let headers = |sign: char, headers: &[(String, String)]| {
        let line = |(name, value): &(String, String)| format!("{sign} {name}: {}", one_line(value));
        headers.iter().map(line).collect::<Vec<_>>()
    };
    let mut lines = vec![format!("> {} {}", request.method, request.url)];
    lines.extend(request.proxy.map(|proxy| format!("> (through the proxy {proxy})")));
    lines.extend(headers('>', request.headers));
    lines.extend([">".to_owned(), request.body.clone(), String::new()]);
    if let Some(answer) = answer {
        let status = outcome.status.unwrap_or_default();
        let from = answer.address.as_ref().map(|address| format!(" from {address}"));
        lines.push(format!("< {} {status}{}", answer.http_version, from.unwrap_or_default()));
        lines.extend(headers('<', answer.headers));
        lines.push("<".to_owned());
        let body = String::from_utf8_lossy(&outcome.response);
        lines.push(body.trim_end().to_owned());
        if outcome.response_truncated {
            lines.push(
                "(truncated: the answer is longer than the limit, or did not end)".to_owned(),
            );
        }
        lines.push(String::new());
    }
    let meaning = match outcome.verdict {
        Verdict::Delivered => "SUCCESS: a delivery would count as delivered",
        Verdict::Retry => "FAILED: a delivery would be retried",
        Verdict::GiveUp => "FAILED: a delivery would become a dead letter at once",
    };
    lines.push(meaning.to_owned());
    lines.extend(outcome.reason.map(|reason| format!("  reason   {}", reason.as_str())));
    lines.extend(outcome.error.as_ref().map(|error| format!("  error    {}", one_line(error))));
    let marks = [
        ("look-up", timings.look_up_seconds),
        ("head", timings.head_seconds),
        ("whole", Some(timings.whole_seconds)),
    ];
    let mark = |(name, seconds): (&str, Option<f64>)| {
        seconds.map(|seconds| format!("  {name:<7}  {:.1} ms", seconds * 1e3))
    };
    lines.extend(marks.into_iter().filter_map(mark));
    lines
}
