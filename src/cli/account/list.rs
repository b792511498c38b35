//! `ringback account list`

use crate::cli::terminal::{print, table};
use crate::config::Listing;
use crate::exit::ExitCode;
use crate::inspect::accounts::{AccountLine, FaultView};
use crate::telemetry::err_line;
use clap::Args;

/// Lists the accounts in force
///
/// If the accounts are in a database, the command reads it, and prints the faults of its rows on stderr.
#[derive(Args)]
#[command(after_help = "\
Example:
  ringback account list --config /etc/ringback/ringback.toml
  ringback account list --json | jq -r 'select(.notify_on_delivery).id'")]
pub(in crate::cli) struct Arguments {
    /// Prints a JSON object per account, each on a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(listing: &Listing, arguments: &Arguments) -> ExitCode {
    let lines = listing.lines(None, usize::MAX);
    for fault in listing.faults() {
        err_line!("{}", text_of(&fault));
    }
    print(if arguments.json { json_lines(&lines) } else { text_lines(&lines) });
    ExitCode::SUCCESS
}

/// Returns a fault on one line.
pub(super) fn text_of(fault: &FaultView) -> String {
    let FaultView { table, row, column, key, problem, fix } = fault;
    let column = column.as_ref().map_or_else(String::new, |column| format!(", column {column}"));
    format!("table {table}, row {row}{column}: {key}: {problem}; {fix}")
}

fn json_lines(lines: &[AccountLine]) -> Vec<String> {
    lines.iter().filter_map(|line| serde_json::to_string(line).ok()).collect()
}

const HEAD: [&str; 8] =
    ["ID", "NOTIFY ON DELIVERY", "KEYS", "DEFAULT WEBHOOK", "WEBHOOKS", "FLOWS", "RULES", "FAULTS"];

fn text_lines(lines: &[AccountLine]) -> Vec<String> {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(lines.iter().map(|line| {
        [
            line.id.to_string(),
            yes(line.notify_on_delivery),
            yes(line.attach_flow_keys),
            line.default_webhook.clone().unwrap_or_else(|| "-".to_owned()),
            line.webhooks.to_string(),
            line.flows.to_string(),
            line.rules.to_string(),
            line.faults.to_string(),
        ]
    }));
    table(&rows)
}
