//! A number that changes with the configuration, and that does not give the secrets away.
//!
//! Whoever reads the hash may know everything that is shown, and so could try passwords until the hash agrees. Therefore all
//! secrets enter it together, through PBKDF2. A guess must be right about all of them at once, and costs `ROUNDS` rounds.
//! One secret that nobody can guess, such as a signing secret of 192 bits, protects the others. Without such a secret, a short
//! password can be guessed, at the price of the rounds. Of the result 48 bits are published. A random key of the process would
//! protect better, but no command could then compare its own configuration with the daemon's.

use super::{Effective, Entry};
use crate::document::sha256;
use ring::pbkdf2::{PBKDF2_HMAC_SHA256, derive};
use std::num::NonZeroU32;

/// They take about 30 ms, twice at each start and reload.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();
/// Other programs that derive something of the same secrets get something else.
const SALT: &[u8] = b"ringback configuration 1";
/// 48 bits are exact as a number of Prometheus and of JSON.
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
