//! `ringback init`

use super::secret::{self, OWNER_ONLY, write_new};
use super::{CONFIGURATION, FAILED, USAGE};
use crate::config;
use crate::exit::ExitCode;
use crate::telemetry::{err_line, out_line};
use clap::Args;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use url::{Host, Url};

const SETTINGS: &str = include_str!("../../config/ringback.toml");
const UNIT: &str = include_str!("../../ops/ringback.service");
/// A line that is right only in the sources.
const SCHEMA: &str = "#:schema ../schemas/config.schema.json\n";
const BROKERS: &str = "bootstrap_servers = \"127.0.0.1:9092\"\n";
const ALLOWED: &str = "allow_addresses = []\n";
const CONFIGURED: &str = "--config /etc/ringback/ringback.toml";
const STARTED: &str = "ExecStart=/usr/local/bin/ringback ";
const FOR_ALL: u32 = 0o644;
const OWNER_AND_GROUP: u32 = 0o640;
const SET_GROUP_ID: u32 = 0o2000;

/// Writes a configuration to start with: settings, an account with a webhook, its secret, and a systemd unit
///
/// The settings have every key with its default and a comment. Nothing is overwritten: if one of the files exists,
/// nothing is written. The unit is for an installation below /etc; see ops/guide/operating.md. Only this user can read the
/// secret. If new files in DIR get its group, as in the package's /etc/ringback, the group can read the secret, too.
#[derive(Args)]
#[command(after_help = "\
Example:
  ringback init ~/ringback
  ringback init /etc/ringback --kafka broker-1:9092,broker-2:9092 --url https://crm.example.com/hooks --account 28")]
pub(super) struct Arguments {
    /// The directory, which is created if it is missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The brokers as host:port, separated by commas
    #[arg(long, value_name = "BROKERS", default_value = "127.0.0.1:9092")]
    kafka: String,
    /// The URL of the webhook
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080/hooks")]
    url: Url,
    /// The account of the webhook
    #[arg(long, value_name = "ID", default_value = "28")]
    account: i64,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Some(secret) = secret::new() else {
        err_line!("ringback: the system provides no random bytes");
        return ExitCode::from(FAILED);
    };
    if !matches!(arguments.url.scheme(), "http" | "https") {
        err_line!("ringback: --url needs an address that begins with http:// or https://");
        return ExitCode::from(USAGE);
    }
    let directory = &arguments.directory;
    let files = [
        ("ringback.toml", FOR_ALL, settings(arguments)),
        ("accounts.toml", FOR_ALL, accounts(arguments)),
        ("crm.secret", secret_mode(directory), format!("{secret}\n")),
        ("ringback.service", FOR_ALL, unit(directory)),
    ];
    if let Some((name, ..)) = files.iter().find(|(name, ..)| directory.join(name).exists()) {
        let file = directory.join(name);
        err_line!(
            "ringback: {} exists, so nothing was written: name another directory",
            file.display()
        );
        return ExitCode::from(FAILED);
    }
    let write_all = || {
        std::fs::create_dir_all(directory)?;
        files
            .iter()
            .try_for_each(|(name, mode, text)| write_new(&directory.join(name), *mode, text))
    };
    if let Err(error) = write_all() {
        err_line!("ringback: {} can't be written: {error}", directory.display());
        return ExitCode::from(FAILED);
    }
    for (name, ..) in &files {
        out_line!("wrote {}", directory.join(name).display());
    }
    let file = directory.join("ringback.toml");
    if let Err(faults) = config::load(&file) {
        err_line!("ringback: correct the configuration before you start:\n{faults}");
        return ExitCode::from(CONFIGURATION);
    }
    out_line!("\nNext:\n  export RINGBACK_CONFIG={}", file.display());
    out_line!("  ringback check --online\n  ringback topics --create\n  ringback run");
    ExitCode::SUCCESS
}

/// Returns the default settings, with the brokers, and with the webhook's address if it is one of this machine.
fn settings(arguments: &Arguments) -> String {
    let text = SETTINGS.replace(SCHEMA, "");
    let brokers = toml_text(&arguments.kafka);
    let text = text.replace(BROKERS, &format!("bootstrap_servers = {brokers}\n"));
    let loopback = match arguments.url.host() {
        Some(Host::Ipv4(address)) if address.is_loopback() => Some("127.0.0.0/8"),
        Some(Host::Ipv6(address)) if address.is_loopback() => Some("::1/128"),
        Some(Host::Domain("localhost")) => Some("127.0.0.0/8\", \"::1/128"),
        Some(Host::Ipv4(_) | Host::Ipv6(_) | Host::Domain(_)) | None => None,
    };
    match loopback {
        Some(network) => text.replace(ALLOWED, &format!("allow_addresses = [\"{network}\"]\n")),
        None => text,
    }
}

fn accounts(arguments: &Arguments) -> String {
    let (account, url) = (arguments.account, toml_text(arguments.url.as_str()));
    let is_http = arguments.url.scheme() == "http";
    format!(
        "\
# The accounts and their webhooks. `ringback check` prints all faults, and SIGHUP reads this file again.
# ops/guide/configuration.md and ops/guide/webhooks.md describe all keys.

[[account]]
id = {account}
# Phase 2, the webhook with the delivery status of the SMS, is sent.
\"account.sms.notifyOnDelivery\" = true
# Phase 2 contains the keys of the flow, too.
\"account.sms.notifyOnDelivery.attachflowkeys\" = true
# URLs may begin with http://.
http_enabled = {is_http}
# Flows trigger webhooks unless their records say that they do not.
webhook_enabled = true

[[webhook]]
name = \"crm\"
account = {account}
# Both phases are sent to it.
default = true
url = {url}
# Each request is signed. Give this secret to the endpoint's owner; ops/guide/receiving.md shows how to verify.
signing_secrets = [{{ file = \"crm.secret\" }}]
"
    )
}

/// Returns the unit with the paths of this binary and of the settings. A unit needs absolute paths.
fn unit(directory: &Path) -> String {
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let text = UNIT.replace(CONFIGURED, &format!("--config {}/ringback.toml", directory.display()));
    match std::env::current_exe() {
        Ok(binary) => text.replace(STARTED, &format!("ExecStart={} ", binary.display())),
        Err(_) => text,
    }
}

/// Returns the permissions of a secret in this directory. If new files get the directory's group, this group is the
/// daemon's, which has to read the secret.
fn secret_mode(directory: &Path) -> u32 {
    let mode = std::fs::metadata(directory).map_or(0, |metadata| metadata.permissions().mode());
    if mode & SET_GROUP_ID == 0 { OWNER_ONLY } else { OWNER_AND_GROUP }
}

/// Returns a string of TOML.
fn toml_text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_that_is_replaced_occurs_once() {
        for part in [SCHEMA, BROKERS, ALLOWED] {
            assert_eq!(SETTINGS.matches(part).count(), 1, "{part}");
        }
        for part in [CONFIGURED, STARTED] {
            assert_eq!(UNIT.matches(part).count(), 1, "{part}");
        }
    }

    #[test]
    fn only_addresses_of_this_machine_are_allowed() {
        let of = |url: &str| {
            let arguments = Arguments {
                directory: "x".into(),
                kafka: "a:1,b:2".to_owned(),
                url: url.parse().unwrap(),
                account: 5,
            };
            let text = settings(&arguments);
            assert!(text.contains("\nbootstrap_servers = \"a:1,b:2\"\n"), "{text}");
            let line = text.lines().find(|line| line.starts_with("allow_addresses")).unwrap();
            line.to_owned()
        };
        assert_eq!(of("http://127.0.0.1:8080/"), "allow_addresses = [\"127.0.0.0/8\"]");
        assert_eq!(of("http://[::1]:8080/"), "allow_addresses = [\"::1/128\"]");
        assert_eq!(of("http://localhost/"), "allow_addresses = [\"127.0.0.0/8\", \"::1/128\"]");
        for url in ["https://crm.example.com/", "http://10.0.0.1/", "http://[fd00::1]/"] {
            assert_eq!(of(url), "allow_addresses = []");
        }
    }
}
