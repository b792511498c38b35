//! The demo's configuration: real files in a temporary directory, like those of a real daemon.

use super::receiver::{BAD_PATH, GOOD_PATH};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::{fs, io};

/// The account of the sample records.
const GOOD_ACCOUNT: u32 = 28;
/// The account whose webhook fails at first.
pub(super) const BAD_ACCOUNT: i64 = 29;

/// The name of the webhook that fails at first.
pub(super) const BAD_WEBHOOK: &str = "broken";

/// The temporary directory. Dropping it removes the directory.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Creates a directory that only this user may read, because it contains a secret.
    pub(super) fn new() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let mut number = 0;
        loop {
            let name = format!("ringback-demo-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                // A killed demo left this directory. In containers, processes often have the same id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => {
                    number += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Generates a signing secret, writes it to a file, and returns its bytes.
    pub(super) fn write_secret(&self) -> io::Result<[u8; 32]> {
        let mut secret = [0; 32];
        let refused = |_| io::Error::other("the system provides no random bytes");
        SystemRandom::new().fill(&mut secret).map_err(refused)?;
        fs::write(self.0.join("webhook.secret"), format!("whsec_{}\n", STANDARD.encode(secret)))?;
        Ok(secret)
    }

    /// Writes both configuration files, and returns the path of `ringback.toml`.
    pub(super) fn write_config(
        &self,
        brokers: &str,
        receiver: SocketAddr,
        http: SocketAddr,
    ) -> io::Result<PathBuf> {
        fs::write(self.0.join("accounts.toml"), accounts(receiver))?;
        let file = self.0.join("ringback.toml");
        fs::write(&file, settings(brokers, http))?;
        Ok(file)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If the removal fails, the files stay in the system's directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn settings(brokers: &str, http: SocketAddr) -> String {
    format!(
        r#"# The demo's settings. All other keys have their defaults.
[kafka]
bootstrap_servers = "{brokers}"
instance_id = "demo-0"

[kafka.client]
# The embedded broker does not answer an idle fetch before this.
"fetch.wait.max.ms" = 20

[store]
directory = "data"

[http]
listen = "{http}"

[accounts]
file = "accounts.toml"

[delivery]
# The demo's own receiver.
allow_addresses = ["127.0.0.0/8"]
"#
    )
}

fn accounts(receiver: SocketAddr) -> String {
    format!(
        r#"# The demo's accounts and their webhooks.
[[account]]
id = {GOOD_ACCOUNT}
"account.sms.notifyOnDelivery" = true
"account.sms.notifyOnDelivery.attachflowkeys" = true
http_enabled = true

[[webhook]]
name = "crm"
account = {GOOD_ACCOUNT}
default = true
url = "http://{receiver}{GOOD_PATH}"
signing_secrets = [{{ file = "webhook.secret" }}]

[[account]]
id = {BAD_ACCOUNT}
http_enabled = true

[[webhook]]
name = "{BAD_WEBHOOK}"
account = {BAD_ACCOUNT}
default = true
url = "http://{receiver}{BAD_PATH}"
signing_secrets = [{{ file = "webhook.secret" }}]
# Short intervals, so that the demo shows the last attempt too.
retry = {{ attempts_max = 4, initial_interval_ms = 400, multiplier = 2.0, interval_max_ms = 2000 }}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Variables};

    #[test]
    fn the_files_are_a_valid_configuration() {
        let folder = Folder::new().unwrap();
        folder.write_secret().unwrap();
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let file = folder.write_config("127.0.0.1:1", address(2), address(3)).unwrap();
        let (settings, accounts) = config::load_with(&file, &Variables::new()).unwrap();
        assert_eq!(settings.store.directory, folder.0.join("data"));
        assert_eq!(settings.topics, crate::demo::topics());
        assert_eq!(accounts.webhooks.len(), 2);
        let path = folder.0.clone();
        drop(folder);
        assert!(!path.exists());
    }
}
