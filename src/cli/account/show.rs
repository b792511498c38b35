//! `ringback account show`

use super::list::text_of;
use crate::cli::FAILED;
use crate::cli::terminal::{json, print, table};
use crate::config::Listing;
use crate::domain::AccountId;
use crate::exit::ExitCode;
use crate::inspect::accounts::AccountView;
use crate::telemetry::escape::one_line;
use crate::telemetry::{err_line, out_line};
use clap::Args;

/// Shows the settings of an account, its webhooks, rules and flows, and where each value comes from
///
/// Secrets are not shown. Exits with 1 if there is no such account.
#[derive(Args)]
#[command(after_help = "\
Example:
  ringback account show 28
  ringback account show 28 --json | jq '.settings[] | select(.key | endswith(\"notifyOnDelivery\"))'")]
pub(in crate::cli) struct Arguments {
    /// The account's id in the platform
    #[arg(value_name = "ID")]
    id: i64,
    /// Prints a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(listing: &Listing, arguments: &Arguments) -> ExitCode {
    let Some(view) = listing.view(AccountId(arguments.id)) else {
        err_line!("no account {} is configured; `ringback account list` shows all", arguments.id);
        return ExitCode::from(FAILED);
    };
    if arguments.json {
        out_line!("{}", json(&view));
    } else {
        print(text_lines(&view));
        for fault in &view.faults {
            err_line!("{}", text_of(fault));
        }
    }
    ExitCode::SUCCESS
}

const HEAD: [&str; 3] = ["KEY", "VALUE", "SOURCE"];

fn text_lines(view: &AccountView) -> Vec<String> {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(view.settings.iter().map(|setting| {
        let value = setting.value.to_string();
        [setting.key.as_str(), &value, &setting.source.to_string()].map(one_line).map(Into::into)
    }));
    table(&rows)
}
