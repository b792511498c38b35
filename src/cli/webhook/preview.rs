//! `ringback webhook preview`

use super::find;
use super::sample::{Sample, of_records};
use crate::cli::terminal::print;
use crate::cli::{FAILED, USAGE, load};
use crate::definition::RequestParts;
use crate::definition::template::Variable;
use crate::delivery::Webhook;
use crate::domain::{BodyKind, Mapped, RecordKind, Rendered};
use crate::exit::ExitCode;
use crate::telemetry::err_line;
use crate::telemetry::escape::one_line;
use bytes::Bytes;
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Renders a webhook's request, and sends nothing
///
/// URL, query, headers and body are made as those of a delivery are, of records that you give. What is secret shows as ***;
/// what is signed or counted for each attempt is not there.
///
/// Exits with 1 when a mandatory variable has no value.
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
    /// A delivery report, as JSON: the request is that of a delivery status
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// A variable as the answer to an earlier webhook would give it
    #[arg(long = "set", value_name = "VARIABLE=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if name.parse::<Variable>().is_ok() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("write it as '$flow.key.NAME=VALUE'".to_owned()),
    }
}

pub(super) fn run(file: &Path, arguments: &Arguments) -> ExitCode {
    let (_, accounts) = match load(file) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let webhook = match find(&accounts, &arguments.name) {
        Ok(webhook) => webhook,
        Err(code) => return code,
    };
    let account = accounts.accounts.get(&webhook.account);
    let attach_keys = account.is_some_and(|account| account.attach_flow_keys);
    let mut sample = match read(arguments, attach_keys) {
        Ok(sample) => sample,
        Err(code) => return code,
    };
    sample.facts.mapped.extend(arguments.set.iter().map(|(name, value)| Mapped {
        save_in: name.as_str().into(),
        value: json!(value).to_string().into(),
    }));
    match sample.rendered(&accounts, &webhook.name) {
        Ok((body, rendered)) => {
            print(lines(webhook, &body, rendered.as_ref(), arguments.json));
            ExitCode::SUCCESS
        }
        Err(problem) => {
            err_line!("webhook {}: {problem}", webhook.name);
            ExitCode::from(FAILED)
        }
    }
}

fn read(arguments: &Arguments, attach_keys: bool) -> Result<Sample, ExitCode> {
    let bytes = |file: &Path| {
        std::fs::read(file).map_err(|error| {
            let file = file.display();
            err_line!("{file} can't be read: {error}; name a file that this user may read");
            ExitCode::from(USAGE)
        })
    };
    let flow = bytes(&arguments.flow)?;
    let report = arguments.report.as_deref().map(bytes).transpose()?;
    of_records(&flow, report.as_deref(), attach_keys).map_err(|(kind, detail)| {
        let report = arguments.report.as_ref().filter(|_| kind == RecordKind::Report);
        err_line!("{}: {detail}", report.unwrap_or(&arguments.flow).display());
        ExitCode::from(FAILED)
    })
}

fn lines(webhook: &Webhook, body: &Bytes, rendered: Option<&Rendered>, json: bool) -> Vec<String> {
    let parts = webhook.shown_parts(rendered);
    let (url, headers) = match &parts {
        Some(RequestParts { url, headers }) => (url.to_string(), headers.as_slice()),
        None => (webhook.shown_url(), &[][..]),
    };
    let kind = rendered.map_or(BodyKind::Json, |rendered| rendered.kind);
    let headers: Vec<(String, String)> = headers
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let body = String::from_utf8_lossy(body);
    if json {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let shown = json!({
            "webhook": webhook.name.as_str(),
            "method": webhook.method.as_str(),
            "url": url,
            "headers": headers,
            "content": crate::codec::rendering::content(kind),
            "body": if kind == BodyKind::None { None } else { Some(body) },
        });
        return vec![shown.to_string()];
    }
    let mut lines = vec![format!("{} {}", webhook.method, one_line(&url))];
    lines.extend(headers.iter().map(|(name, value)| format!("{name}: {}", one_line(value))));
    if kind != BodyKind::None {
        lines.push(String::new());
        lines.extend(body.lines().map(str::to_owned));
    }
    lines
}
