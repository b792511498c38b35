//! A number that changes with the configuration, and from which nobody learns a secret.
//!
//! Whoever may read the hash may know everything that is shown, and so could try passwords until the hash agrees. Therefore
//! secrets enter it through PBKDF2, all of them together: a guess has to be right about all at once, and each costs so many
//! rounds. One secret that can't be guessed, such as a signing secret, protects the others. Of the result 48 bits are published.
//! A key that only this process knows would protect better, but then no command could compare its own configuration.

use super::{Effective, Entry};
use crate::config::context::sha256;
use ring::pbkdf2::{PBKDF2_HMAC_SHA256, derive};
use std::num::NonZeroU32;

/// Some 30 ms; it is done at each start and reload.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();
/// Nobody else's hashes are to agree with these.
const SALT: &[u8] = b"ringback configuration 1";
/// So many bytes of a digest fit exactly into a number of Prometheus and of JSON.
const SHOWN_BYTES: usize = 6;

/// What differs when the configuration does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// Of all that is in force.
    pub all: u64,
    /// Of the accounts file alone, which is the same for all instances.
    pub accounts: u64,
    /// Of what does not show alone.
    pub secrets: u64,
}

impl Hashes {
    pub(super) fn of(effective: &Effective) -> Self {
        let all = || effective.settings.iter().chain(&effective.accounts);
        let (secrets, of_accounts) = (hidden(all()), hidden(effective.accounts.iter()));
        Self {
            all: whole(all(), &secrets),
            accounts: whole(effective.accounts.iter(), &of_accounts),
            secrets: number(&secrets),
        }
    }
}

/// What does not show of `entries`.
fn hidden<'a>(entries: impl Iterator<Item = &'a Entry>) -> [u8; 32] {
    let mut secrets = Vec::new();
    for entry in entries {
        if let Some(digest) = entry.hidden {
            secrets.extend_from_slice(&sha256(entry.key.as_bytes()));
            secrets.extend_from_slice(&digest);
        }
    }
    let mut digest = [0; 32];
    if !secrets.is_empty() {
        derive(PBKDF2_HMAC_SHA256, ROUNDS, SALT, &secrets, &mut digest);
    }
    digest
}

/// What shows of `entries`, and a digest of the rest.
fn whole<'a>(entries: impl Iterator<Item = &'a Entry>, hidden: &[u8; 32]) -> u64 {
    let mut text = hidden.to_vec();
    for entry in entries {
        // JSON ends where it ends, so that no two lists are spelt alike.
        text.extend(serde_json::json!([entry.key, entry.value]).to_string().bytes());
    }
    number(&sha256(&text))
}

fn number(digest: &[u8; 32]) -> u64 {
    digest.iter().take(SHOWN_BYTES).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
