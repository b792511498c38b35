//! A number that changes with the configuration and does not reveal its secrets.
//!
//! A reader of the hash may know every value that is shown, and so could try passwords until the hash agrees. Therefore
//! all secrets enter the hash together, through PBKDF2. A guess must be right about all of them at once, and costs
//! `ROUNDS` rounds. One secret that can't be guessed, such as a signing secret of 192 bits, protects the others.
//! Without such a secret, a short password can be guessed, at the price of the rounds. Only 48 bits of the result are
//! published. A random key of the process would protect better, but then no command could compare its own configuration
//! with the daemon's.

use super::{Effective, Entry};
use crate::document::sha256;
use ring::pbkdf2::{PBKDF2_HMAC_SHA256, derive};
use std::num::NonZeroU32;

/// The rounds take about 30 ms, twice at each start and reload.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();
/// Other programs that derive a value from the same secrets get a different one.
const SALT: &[u8] = b"ringback configuration 1";
/// The number of published bytes. 48 bits are exact as a number of Prometheus and of JSON.
const SHOWN_BYTES: usize = 6;

/// Numbers that differ between different configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// The hash of the whole configuration in force.
    pub all: u64,
    /// The hash of the accounts file only, which is the same for all instances.
    pub accounts: u64,
    /// The hash of the hidden values only.
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

/// Returns a hash of the hidden values of `entries`.
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

/// Returns a hash of the shown values of `entries` and of `hidden`.
fn whole<'a>(entries: impl Iterator<Item = &'a Entry>, hidden: &[u8; 32]) -> u64 {
    let mut text = hidden.to_vec();
    for entry in entries {
        // The end of a JSON text is unambiguous, so different lists have different texts.
        text.extend(serde_json::json!([entry.key, entry.value]).to_string().bytes());
    }
    number(&sha256(&text))
}

fn number(digest: &[u8; 32]) -> u64 {
    digest.iter().take(SHOWN_BYTES).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
