//! How a webhook's requests are authorised.

use super::definition::{doubtful, say};
use super::entry::{AuthEntry, AuthKind, CredentialsIn};
use super::{secret, url};
use crate::definition::Credentials;
use crate::definition::template::{DefinitionPart, Fault, TextTemplate, Tokens, has_variables};
use crate::delivery::{Auth, ClientCredentials, Secret, SentIn};
use crate::document::{Context, Place, SecretText};

/// A kind of authorisation: its required keys, its optional keys, and an example.
struct Parts {
    kind: &'static str,
    needed: &'static [&'static str],
    optional: &'static [&'static str],
    example: &'static str,
}

const NONE: Parts = Parts { kind: "none", needed: &[], optional: &[], example: "" };
const BASIC: Parts = Parts {
    kind: "basic",
    needed: &["username", "password"],
    optional: &[],
    example: r#"{ type = "basic", username = "…", password = { env = "NAME" } }"#,
};
const BEARER: Parts = Parts {
    kind: "bearer",
    needed: &["token"],
    optional: &[],
    example: r#"{ type = "bearer", token = { env = "NAME" } }"#,
};
const OAUTH2: Parts = Parts {
    kind: "oauth2",
    needed: &["token_url", "client_id", "client_secret"],
    optional: &["scope", "audience", "credentials_in"],
    example: r#"{ type = "oauth2", token_url = "https://…", client_id = "…", client_secret = { env = "NAME" } }"#,
};

/// How requests are authorised: in one way for all deliveries, or by credentials that are rendered.
pub(super) struct Read {
    pub(super) auth: Auth,
    pub(super) credentials: Option<Credentials>,
}

impl From<Auth> for Read {
    fn from(auth: Auth) -> Self {
        Self { auth, credentials: None }
    }
}

/// Reads `entry`. `http_enabled` is the account's setting, or `None` if there is no such account.
pub(super) fn read(
    entry: &AuthEntry,
    http_enabled: Option<bool>,
    tokens: &Tokens,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Read> {
    let mut read = |key: &str, text: &Option<SecretText>| -> Option<Secret> {
        text.as_ref().and_then(|text| secret::sent(text, &place.key(key), context))
    };
    let password = read("password", &entry.password);
    let token = read("token", &entry.token);
    let client_secret = read("client_secret", &entry.client_secret);
    // Without the table there is no authorisation. The check reports a missing or unknown type.
    let Some(kind) = entry.kind else { return Some(Auth::None.into()) };
    let parts = match kind {
        AuthKind::None => NONE,
        AuthKind::Basic | AuthKind::PlatformBasic => BASIC,
        AuthKind::Bearer => BEARER,
        AuthKind::Oauth2 => OAUTH2,
    };
    if !fits(entry, &parts, place, context) {
        return None;
    }
    match kind {
        AuthKind::None => Some(Auth::None.into()),
        AuthKind::Basic | AuthKind::PlatformBasic => {
            let username = entry.username.clone()?;
            if let Some(read) = rendered(entry, password.as_ref(), tokens, place, context) {
                return read;
            }
            if username.contains(':') || username.contains(char::is_control) {
                context.fault(
                    &place.key("username"),
                    "has a colon or a control character, which basic authentication cannot carry",
                    "name the user without it",
                );
            }
            password.map(|password| Auth::Basic { username, password }.into())
        }
        AuthKind::Bearer => {
            let token = token?;
            if token.reveal().is_empty() || !token.reveal().bytes().all(|b| b.is_ascii_graphic()) {
                context.fault(
                    &place.key("token"),
                    "is empty, or has a character that a header cannot carry",
                    "write the token alone, without the word Bearer",
                );
                return None;
            }
            Some(Auth::Bearer(token).into())
        }
        AuthKind::Oauth2 => {
            let url = entry.token_url.as_deref()?;
            let token_url = url::parse(url, http_enabled, &place.key("token_url"), context)?;
            let credentials = ClientCredentials {
                token_url,
                client_id: entry.client_id.clone()?,
                client_secret: client_secret?,
                scope: entry.scope.clone(),
                audience: entry.audience.clone(),
                sent_in: match entry.credentials_in {
                    Some(CredentialsIn::Body) => SentIn::Body,
                    Some(CredentialsIn::Header) | None => SentIn::Header,
                },
            };
            Some(Auth::OAuth2(Box::new(credentials)).into())
        }
    }
}

/// Reads credentials that contain variables. Returns `None` if they contain none: these are sent as they are written,
/// whatever dollar signs and percent signs a password contains.
fn rendered(
    entry: &AuthEntry,
    password: Option<&Secret>,
    tokens: &Tokens,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<Option<Read>> {
    let username = entry.username.as_deref()?;
    let literal = match entry.password.as_ref()? {
        SecretText::Literal(text) => Some(text.as_str()),
        SecretText::Reference { .. } => None,
    };
    let [in_username, in_password] =
        [Some(username), literal].map(|text| text.is_some_and(|it| has_variables(it, tokens)));
    if !in_username && !in_password {
        return None;
    }
    let mut template = |key: &str, text: &str, part: DefinitionPart, has_variables: bool| {
        if !has_variables {
            return Some(TextTemplate::with_secret(text, &part));
        }
        let place = place.key(key);
        let parsed = TextTemplate::parse(text, &part, &|_| true, tokens);
        if part == DefinitionPart::Username {
            doubtful(text, &place, context);
        }
        parsed.map_err(|faults| say("", &shown(faults, &part), &place, context)).ok()
    };
    let username = template("username", username, DefinitionPart::Username, in_username);
    let password = password.and_then(|password| {
        template("password", password.reveal(), DefinitionPart::Password, in_password)
    });
    let (Some(username), Some(password)) = (username, password) else { return Some(None) };
    let credentials = Some(Credentials { username, password });
    Some(Some(Read { auth: Auth::None, credentials }))
}

/// Returns the faults as they may be shown: those of a password without its text.
fn shown(faults: Vec<Fault>, part: &DefinitionPart) -> Vec<Fault> {
    if *part != DefinitionPart::Password {
        return faults;
    }
    let hidden = |fault: Fault| Fault {
        problem: "a variable or token is misspelt".to_owned(),
        fix: "correct it; `$$` stands for a plain `$`, and `%%` before a token for `%`".to_owned(),
        ..fault
    };
    faults.into_iter().map(hidden).collect()
}

/// Returns whether `entry` has all required keys of its kind and no key of another kind.
fn fits(entry: &AuthEntry, parts: &Parts, place: &Place<'_>, context: &mut Context<'_>) -> bool {
    let there = [
        ("username", entry.username.is_some()),
        ("password", entry.password.is_some()),
        ("token", entry.token.is_some()),
        ("token_url", entry.token_url.is_some()),
        ("client_id", entry.client_id.is_some()),
        ("client_secret", entry.client_secret.is_some()),
        ("scope", entry.scope.is_some()),
        ("audience", entry.audience.is_some()),
        ("credentials_in", entry.credentials_in.is_some()),
    ];
    let names = |wanted: &dyn Fn(&str, bool) -> bool| {
        let found = there.iter().filter(|(key, is_there)| wanted(key, *is_there));
        found.map(|(key, _)| format!("`{key}`")).collect::<Vec<_>>().join(", ")
    };
    let missing = names(&|key, is_there| !is_there && parts.needed.contains(&key));
    let foreign = names(&|key, is_there| {
        is_there && !parts.needed.contains(&key) && !parts.optional.contains(&key)
    });
    if !missing.is_empty() {
        let problem = format!("its type is `{}`, and it has no {missing}", parts.kind);
        context.fault(place, problem, format!("write it as {}", parts.example));
    }
    if !foreign.is_empty() {
        let problem = format!("its type is `{}`, which has no {foreign}", parts.kind);
        context.fault(place, problem, "remove it, or write the type that it belongs to");
    }
    missing.is_empty() && foreign.is_empty()
}
