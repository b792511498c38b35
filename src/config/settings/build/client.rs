//! `[kafka.client]`: the properties of librdkafka that users may set, and their consistency.
//!
//! Properties are checked one by one and in pairs. Then a client of every kind is created with them. So every error of
//! librdkafka is a fault of the file, before the daemon starts.

mod properties;

use crate::document::{Context, Place, SecretText, nearest};
use crate::log::{self, KafkaSettings};
use properties::{Rule, canonical};
use std::collections::BTreeMap;

/// The text in the place of a secret.
const HIDDEN: &str = "***";

/// Returns whether the value of the property `name` may be shown.
pub(in crate::config) fn is_shown(name: &str) -> bool {
    properties::is_shown(name)
}

/// Returns the properties that users set, without those that are refused.
pub(super) fn properties(
    written: &BTreeMap<String, SecretText>,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> BTreeMap<String, String> {
    let mut client = BTreeMap::new();
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, text) in written {
        let place = place.key(name);
        if !is_allowed(name, &place, context) {
            continue;
        }
        if let Some(other) = seen.insert(canonical(name), name) {
            let problem = format!("`{other}` is the same property by another name");
            context.fault(&place, problem, "keep one of the two");
            continue;
        }
        if let Some(value) = context.secret(&place, text)
            && is_within(name, value.reveal(), &place, context)
        {
            client.insert(name.clone(), value.reveal().to_owned());
        }
    }
    client
}

/// Returns whether users may set the property `name`.
fn is_allowed(name: &str, place: &Place<'_>, context: &mut Context<'_>) -> bool {
    let lower = name.to_lowercase();
    match properties::rule(&lower) {
        Some(Rule::Owned(why, fix)) => {
            context.fault(place, format!("belongs to the daemon: {why}"), fix);
            false
        }
        Some(Rule::Free | Rule::Hidden | Rule::Within(..)) if lower == name => true,
        Some(Rule::Free | Rule::Hidden | Rule::Within(..)) => {
            let fix = format!("did you mean `{lower}`?");
            context.fault(place, "unknown property of librdkafka", fix);
            false
        }
        None => {
            let fix = match nearest(name, properties::names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "remove it, or compare with librdkafka's CONFIGURATION.md".to_owned(),
            };
            context.fault(place, "unknown property of librdkafka", fix);
            false
        }
    }
}

/// Returns whether a number is within its bounds.
fn is_within(name: &str, value: &str, place: &Place<'_>, context: &mut Context<'_>) -> bool {
    let Some(Rule::Within(least, most, why)) = properties::rule(name) else { return true };
    let wanted = format!("write a whole number from {least} to {most}");
    match value.trim().parse::<i64>() {
        Ok(number) if (least..=most).contains(&number) => true,
        Ok(number) => {
            context.fault(place, format!("is {number}: {why}"), wanted);
            false
        }
        Err(_) => {
            context.fault(place, "is not a whole number", wanted);
            false
        }
    }
}

/// Checks that the properties are consistent, and then creates a client of each kind.
pub(super) fn together(settings: &KafkaSettings, place: &Place<'_>, context: &mut Context<'_>) {
    let before = context.faults.len();
    let pairs = Pairs { client: &settings.client, place, context };
    pairs.check();
    if context.faults.len() > before || settings.client.is_empty() {
        return;
    }
    if let Err(refusal) = log::try_clients(settings) {
        refused(&refusal, settings, place, context);
    }
}

struct Pairs<'a, 'b, 'c> {
    client: &'a BTreeMap<String, String>,
    place: &'a Place<'b>,
    context: &'a mut Context<'c>,
}

impl Pairs<'_, '_, '_> {
    fn check(mut self) {
        self.ordered(
            "heartbeat.interval.ms",
            "session.timeout.ms",
            1,
            "the group would remove the instance",
        );
        self.ordered(
            "session.timeout.ms",
            "max.poll.interval.ms",
            0,
            "a session would outlast the time between two polls",
        );
        self.ordered(
            "queue.buffering.max.ms",
            "message.timeout.ms",
            1,
            "records would time out before they are sent",
        );
        self.ordered(
            "queue.buffering.max.ms",
            "transaction.timeout.ms",
            1,
            "a transaction would time out before its records are sent",
        );
        self.ordered(
            "message.timeout.ms",
            "transaction.timeout.ms",
            0,
            "a record would outlast its transaction",
        );
        self.ordered(
            "socket.timeout.ms",
            "transaction.timeout.ms",
            0,
            "a request would outlast its transaction",
        );
        self.ordered(
            "reconnect.backoff.ms",
            "reconnect.backoff.max.ms",
            0,
            "the first pause would be longer than the longest",
        );
        self.ordered(
            "message.max.bytes",
            "fetch.max.bytes",
            0,
            "a message would not fit into an answer",
        );
        self.ordered(
            "fetch.max.bytes",
            "receive.message.max.bytes",
            512,
            "an answer would not fit with its frame",
        );
        self.security();
    }

    /// Returns the name under which users have set a property, and its value.
    fn set(&self, own: &str) -> Option<(String, String)> {
        let mut found = self.client.iter().filter(|(name, _)| canonical(name) == own);
        found.next().map(|(name, value)| (name.clone(), value.clone()))
    }

    /// Returns the value of a time or a size: the users', or else the daemon's default. The name is `None` for a
    /// default.
    fn number(&self, own: &str) -> Option<(Option<String>, f64)> {
        if let Some((name, value)) = self.set(own) {
            return Some((Some(name), value.trim().parse().ok()?));
        }
        let (_, default) = log::CLIENT_DEFAULTS.iter().find(|(name, _)| *name == own)?;
        Some((None, f64::from(*default)))
    }

    /// Checks that `small` is below `large` by at least `gap`.
    fn ordered(&mut self, small: &str, large: &str, gap: u32, why: &str) {
        let (Some((small_set, least)), Some((large_set, most))) =
            (self.number(small), self.number(large))
        else {
            return;
        };
        if least + f64::from(gap) <= most {
            return;
        }
        let says = |set: &Option<String>, own: &str, value: f64| match set {
            Some(name) => format!("`{name}` is {value}"),
            None => format!("`{own}` has its default {value}"),
        };
        let relation = if gap == 0 { "at most" } else { "less than" };
        let (own, problem) = match (&small_set, &large_set) {
            // The defaults are consistent.
            (None, None) => return,
            (Some(name), _) => {
                (name.clone(), format!("is {least}, and {}: {why}", says(&large_set, large, most)))
            }
            (None, Some(name)) => {
                (name.clone(), format!("is {most}, and {}: {why}", says(&small_set, small, least)))
            }
        };
        let fix = format!("set `{small}` to {relation} `{large}`");
        self.context.fault(&self.place.key(&own), problem, fix);
    }

    /// Checks the properties that a login needs.
    fn security(&mut self) {
        let protocol = self.set("security.protocol");
        let mechanism = self.set("sasl.mechanisms");
        if let Some((name, value)) = &protocol
            && value.to_lowercase().starts_with("sasl_")
            && mechanism.is_none()
        {
            let fix =
                "set \"sasl.mechanism\" to PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER";
            let problem = "requires SASL, but `sasl.mechanism` is not set";
            self.context.fault(&self.place.key(name), problem, fix);
        }
        let Some((name, value)) = mechanism else { return };
        let known = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];
        if !known.contains(&value.as_str()) {
            let fix = format!("write one of {}", known.join(", "));
            self.context.fault(&self.place.key(&name), "is not a mechanism of this build", fix);
            return;
        }
        if value == "OAUTHBEARER" {
            let method = self.set("sasl.oauthbearer.method");
            self.token_endpoint();
            if method.as_ref().is_none_or(|(_, method)| method != "oidc") {
                let fix = "set \"sasl.oauthbearer.method\" to \"oidc\", with the token endpoint's URL, client id and secret";
                let problem = "OAUTHBEARER needs a method that fetches its tokens";
                self.context.fault(&self.place.key(&name), problem, fix);
            }
        } else {
            for needed in ["sasl.username", "sasl.password"] {
                if self.set(needed).is_none() {
                    let problem = format!("`{needed}` is missing");
                    let fix = format!("set \"{needed}\", a secret as {{ env = \"NAME\" }}");
                    self.context.fault(&self.place.key(&name), problem, fix);
                }
            }
        }
        if protocol.is_none_or(|(_, value)| !value.to_lowercase().starts_with("sasl_")) {
            let fix = "set \"security.protocol\" to SASL_SSL or SASL_PLAINTEXT";
            self.context.fault(&self.place.key(&name), "has no effect without SASL", fix);
        }
    }
}

impl Pairs<'_, '_, '_> {
    /// Checks the token endpoint's URL, which librdkafka parses only when it fetches the first token.
    fn token_endpoint(&mut self) {
        let Some((name, value)) = self.set("sasl.oauthbearer.token.endpoint.url") else { return };
        let is_good =
            reqwest::Url::parse(&value).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_good {
            let fix = "write it as in \"https://login.example.com/oauth2/token\"";
            self.context.fault(&self.place.key(&name), "is not an http or https URL", fix);
        }
    }
}

/// Adds a fault with librdkafka's own text, and an explanation of the names in it.
fn refused(
    refusal: &log::ClientRefusal,
    settings: &KafkaSettings,
    place: &Place<'_>,
    context: &mut Context<'_>,
) {
    let text = without_secrets(&refusal.text, &settings.client);
    // Every other part between backticks is a property, or a value of one.
    let named: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    let named = || named.iter().filter_map(|word| word.split('=').next());
    let is_set = |own: &str| settings.client.keys().find(|name| canonical(name) == canonical(own));
    let property =
        refusal.property.clone().or_else(|| named().find_map(|name| is_set(name).cloned()));
    let explained: Vec<String> = named()
        .filter(|name| properties::rule(name).is_some() && is_set(name).is_none())
        .map(|name| format!("`{name}` is not set in [kafka.client]"))
        .collect();
    let mut problem = format!("librdkafka refuses it: {text}");
    if !explained.is_empty() {
        problem = format!("{problem} ({})", explained.join(", "));
    }
    let fix = "correct it, or remove it";
    match property {
        Some(name) => context.fault(&place.key(&name), problem, fix),
        None => context.fault(place, problem, fix),
    }
}

/// Replaces secrets in librdkafka's text, which may quote a value.
fn without_secrets(text: &str, client: &BTreeMap<String, String>) -> String {
    let secrets =
        client.iter().filter(|(name, value)| !properties::is_shown(name) && !value.is_empty());
    secrets.fold(text.to_owned(), |text, (_, value)| text.replace(value.as_str(), HIDDEN))
}

#[cfg(test)]
mod tests {
    use super::without_secrets;

    #[test]
    fn a_value_that_is_a_secret_is_not_quoted() {
        let client = [("sasl.password", "hush"), ("ssl.key.pem", ""), ("client.id", "ringback")];
        let client = client.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let said = "Invalid value \"hush\" of ringback: \"hush\"";
        assert_eq!(without_secrets(said, &client), "Invalid value \"***\" of ringback: \"***\"");
    }
}
