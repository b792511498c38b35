//! `ringback webhook list`

use crate::cli::terminal::{Bars, print, table};
use crate::cli::{FAILED, inspect_failed, load_all};
use crate::clock;
use crate::exit::ExitCode;
use crate::inspect::webhooks::{self, WebhookView};
use crate::log::{NeededBy, Progress};
use crate::telemetry::err_line;
use clap::Args;
use std::path::Path;

/// Lists the configured webhooks with the state of their endpoints
///
/// The webhooks come from the configuration. The command reads the whole changelog to find endpoints that are disabled,
/// that asked for a pause, or whose deliveries fail. Each partition records this separately: the list shows the
/// earliest time of a failure or a disabling, and the latest end of a pause. URLs are shown without their query.
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
    let (settings, accounts) = match load_all(file).await {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let of_command = settings.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let mut bars = Bars::default();
        let mut watch = |progress: Progress<'_>| bars.see(progress);
        webhooks::read(&of_command.kafka, &of_command.topics, &mut watch)
    });
    let states = match reading.await {
        Ok(Ok(states)) => states,
        Ok(Err(error)) => return inspect_failed(&settings, NeededBy::Webhooks, &error),
        Err(error) => {
            err_line!("ringback: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let now = clock::wall();
    let shown: Vec<WebhookView<'_>> = accounts
        .webhooks
        .values()
        .map(|(webhook, policy)| {
            let account = accounts.accounts.get(&webhook.account);
            let default = account.and_then(|account| account.default_webhook.as_ref());
            let known = states.get(&webhook.name).cloned().unwrap_or_default();
            let is_default = default == Some(&webhook.name);
            WebhookView::of(webhook, policy, is_default, &known, now)
        })
        .collect();
    print(if arguments.json { json_lines(&shown) } else { text_lines(&shown) });
    ExitCode::SUCCESS
}

fn json_lines(all: &[WebhookView<'_>]) -> Vec<String> {
    all.iter().filter_map(|webhook| serde_json::to_string(webhook).ok()).collect()
}

const HEAD: [&str; 8] =
    ["NAME", "ACCOUNT", "DEFAULT", "RATE/S", "IN FLIGHT", "TIME-OUT", "URL", "STATE"];

fn text_lines(all: &[WebhookView<'_>]) -> Vec<String> {
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
            words(webhook),
        ]
    }));
    table(&lines)
}

/// Describes the state of the endpoint.
fn words(webhook: &WebhookView<'_>) -> String {
    let mut words = Vec::new();
    if let (Some(at), Some(cause)) = (&webhook.disabled_at, webhook.disabled_cause) {
        words.push(format!("disabled since {at} ({cause})"));
    }
    words.extend(webhook.held_until.as_ref().map(|until| format!("held until {until}")));
    words.extend(webhook.failing_since.as_ref().map(|since| format!("failing since {since}")));
    if words.is_empty() { "enabled".to_owned() } else { words.join(", ") }
}
