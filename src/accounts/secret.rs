//! Secrets that requests contain.

use crate::delivery::{HIDDEN_CHARS_MIN, Secret};
use crate::document::{Context, Place, SecretText};

/// Returns the secret in `text`, or the one to which it refers. Warns of one that is too short to be hidden where an
/// answer repeats it. Reports a fault if there is none.
pub(super) fn sent(
    text: &SecretText,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Secret> {
    let secret = context.secret(place, text)?;
    if (1..HIDDEN_CHARS_MIN).contains(&secret.reveal().chars().count()) {
        let problem = format!(
            "has fewer than {HIDDEN_CHARS_MIN} characters, so that it is not hidden where an answer repeats it"
        );
        context.warn(place, problem, "choose a longer secret");
    }
    Some(secret)
}
