//! `ringback webhook preview`

use super::find;
use crate::cli::terminal::{json, print};
use crate::cli::{FAILED, USAGE, load_all};
use crate::codec::source::Unwrap;
use crate::definition::template::Variable;
use crate::domain::{Mapped, RecordKind};
use crate::exit::ExitCode;
use crate::inspect::preview::{Preview, Sample, of_records};
use crate::telemetry::err_line;
use crate::telemetry::escape::one_line;
use clap::Args;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// Renders a webhook's request, and sends nothing
///
/// URL, query, headers and body are rendered like those of a delivery, from records that you give. Secrets are shown as
/// ***. Values that are signed or counted for each attempt are left out.
///
/// Exits with 1 if a mandatory variable has no value.
#[derive(Args)]
#[command(after_help = "\
Example:
  ringback webhook preview crm --flow flow.json --config /etc/ringback/ringback.toml
  ringback webhook preview call-back --flow flow.json --report report.json --set '$flow.key.obdReqID=17'")]
pub(in crate::cli) struct Arguments {
    /// The webhook's name in the accounts file
    #[arg(value_name = "NAME")]
    name: String,
    /// A flow complete record, as JSON
    #[arg(long, value_name = "FILE")]
    flow: PathBuf,
    /// A delivery report, as JSON: renders the request of a delivery status
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// A variable with the value that the answer to an earlier webhook would give it
    #[arg(long = "set", value_name = "VARIABLE=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    // A name in braces may contain an equals sign.
    let mut places = text.match_indices('=').filter_map(|(at, _)| text.split_at_checked(at));
    let found = places.find_map(|(name, value)| Some((name.parse::<Variable>().ok()?, value)));
    match found {
        Some((variable, value)) => {
            Ok((variable.key(), value.get(1..).unwrap_or_default().to_owned()))
        }
        None => Err("write it as '$flow.key.NAME=VALUE'".to_owned()),
    }
}

pub(super) async fn run(file: &Path, arguments: &Arguments) -> ExitCode {
    let (settings, accounts) = match load_all(file).await {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let webhook = match find(&accounts, &arguments.name) {
        Ok(webhook) => webhook,
        Err(code) => return code,
    };
    let account = accounts.accounts.get(&webhook.account);
    let attach_keys = account.is_some_and(|account| account.attach_flow_keys);
    let mut sample = match read(arguments, settings.topics.unwrap, attach_keys) {
        Ok(sample) => sample,
        Err(code) => return code,
    };
    sample.facts.mapped.extend(arguments.set.iter().map(|(name, value)| Mapped {
        save_in: name.as_str().into(),
        value: Json::from(value.as_str()).to_string().into(),
    }));
    match Preview::of(webhook, &accounts.definitions, &sample) {
        Ok(preview) => {
            let as_json = arguments.json;
            print(if as_json { vec![json(&preview)] } else { lines(&preview) });
            ExitCode::SUCCESS
        }
        Err(problem) => {
            err_line!("webhook {}: {problem}", webhook.name);
            ExitCode::from(FAILED)
        }
    }
}

fn read(arguments: &Arguments, unwrap: Unwrap, attach_keys: bool) -> Result<Sample, ExitCode> {
    let bytes = |file: &Path| {
        std::fs::read(file).map_err(|error| {
            let file = file.display();
            err_line!("{file} can't be read: {error}; name a file that this user may read");
            ExitCode::from(USAGE)
        })
    };
    let flow = bytes(&arguments.flow)?;
    let report = arguments.report.as_deref().map(bytes).transpose()?;
    of_records(unwrap, &flow, report.as_deref(), attach_keys).map_err(|(kind, detail)| {
        let report = arguments.report.as_ref().filter(|_| kind == RecordKind::Report);
        err_line!("{}: {detail}", report.unwrap_or(&arguments.flow).display());
        ExitCode::from(FAILED)
    })
}

fn lines(preview: &Preview) -> Vec<String> {
    let notes = preview.notes.iter().flat_map(|notes| notes.lines());
    let mut lines: Vec<String> = notes.map(|line| format!("# {}", one_line(line))).collect();
    lines.extend([format!("{} {}", preview.method, one_line(&preview.url))]);
    let headers = preview.headers.iter();
    lines.extend(headers.map(|header| format!("{}: {}", header.name, one_line(&header.value))));
    if let Some(body) = &preview.body {
        lines.push(String::new());
        lines.extend(body.lines().map(str::to_owned));
    }
    lines
}
