//! `ringback webhook`

mod daemon;
mod enable;
mod extract;
mod list;
mod preview;
mod tokens;
mod trial;

use super::USAGE;
use crate::config::Accounts;
use crate::delivery::Webhook;
use crate::domain::WebhookName;
use crate::exit::ExitCode;
use crate::telemetry::err_line;
use clap::Subcommand;
use std::path::Path;
use std::sync::Arc;

/// Lists, tests, enables and previews webhooks, and helps to define them
#[derive(Subcommand)]
#[command(after_help = "Example:\n  ringback webhook list")]
pub(super) enum Command {
    List(list::Arguments),
    #[command(name = "test")]
    Trial(trial::Arguments),
    Enable(enable::Arguments),
    Preview(preview::Arguments),
    Extract(extract::Arguments),
    Tokens(tokens::Arguments),
}

pub(super) async fn run(file: &Path, command: &Command) -> ExitCode {
    match command {
        Command::List(arguments) => list::run(file, arguments).await,
        Command::Trial(arguments) => trial::run(file, arguments).await,
        Command::Enable(arguments) => enable::run(file, arguments).await,
        Command::Preview(arguments) => preview::run(file, arguments).await,
        Command::Extract(arguments) => extract::run(arguments),
        Command::Tokens(arguments) => tokens::run(arguments),
    }
}

/// Returns the webhook `name`. If there is none, prints which name to use instead.
fn find<'a>(accounts: &'a Accounts, name: &str) -> Result<&'a Arc<Webhook>, ExitCode> {
    let known = WebhookName::new(name).and_then(|name| accounts.webhooks.get(&name));
    known.map(|(webhook, _)| webhook).ok_or_else(|| {
        let hint = match accounts.nearest_webhook(name) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`ringback webhook list` shows all".to_owned(),
        };
        err_line!("no webhook `{}` is configured; {hint}", name.escape_debug());
        ExitCode::from(USAGE)
    })
}
