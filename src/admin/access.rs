//! Who may ask: clients with the bearer token, and browsers with the cookie of a session.
//!
//! A session begins on the sign-in page with the token. Its cookie has the operator's name and its end, signed with a key
//! that is derived from the token. So every instance with the same token accepts it, it survives restarts, and another
//! token ends all sessions. Without a token, everybody who reaches the listener may ask, which is bound to loopback by
//! default. Then the `Host` of a request must be an address or `localhost`: otherwise a foreign web site could read the
//! pages by pointing its own name to this address.

use crate::clock;
use crate::console::{self, Visitor};
use crate::delivery::Secret;
use crate::domain::Timestamp;
use axum::Form;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::time::Duration as CookieAge;
use cookie::{Cookie, SameSite};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ring::hmac;
use ring::rand::{SystemRandom, generate};
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

const COOKIE: &str = "ringback_session";
/// The length of a session.
const SESSION_S: i64 = 8 * 3600;
/// The header with which programs name the operator.
const OPERATOR_HEADER: &str = "x-ringback-operator";
/// The maximum length of an operator's name, in characters.
const OPERATOR_MAX: usize = 64;
/// The sign-ins that an address may try per minute.
const TRIES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(5).unwrap();
/// The number of addresses whose tries are remembered before old ones are removed.
const ADDRESSES_MAX: usize = 10_000;

/// The address of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// The expected token, and the keys of sessions and forms.
pub(super) struct Access {
    token: Option<Token>,
    /// Signs sessions, and the tokens of their forms.
    key: hmac::Key,
    tries: DefaultKeyedRateLimiter<IpAddr>,
}

/// The expected token, kept as a digest.
struct Token {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Token {
    fn new(token: &Secret) -> Self {
        // The HMAC key is not secret. Digests have one length, so tokens of any length are compared in constant time.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"ringback admin token");
        let tag = hmac::sign(&key, token.reveal().as_bytes());
        Self { key, tag }
    }

    /// An empty token is never accepted, even if the configured token is empty.
    fn is(&self, token: &[u8]) -> bool {
        !token.is_empty() && hmac::verify(&self.key, token, self.tag.as_ref()).is_ok()
    }
}

impl Access {
    pub(super) fn new(token: Option<&Secret>) -> Self {
        let random = generate::<[u8; 32]>(&SystemRandom::new()).map(|random| random.expose());
        // Without a token, or without random bytes, the key is at least another one in each process.
        let random = random.unwrap_or_else(|_| {
            let mut seed = [0; 32];
            seed.iter_mut().zip(std::process::id().to_ne_bytes()).for_each(|(to, from)| *to = from);
            seed
        });
        let secret = token.map_or(&random[..], |token| token.reveal().as_bytes());
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"ringback session");
        Self {
            token: token.map(Token::new),
            key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()),
            tries: RateLimiter::keyed(Quota::per_minute(TRIES_PER_MINUTE)),
        }
    }

    /// Returns the visitor behind a request, or `None` if it has neither the token nor a session.
    fn visitor(&self, headers: &HeaderMap, address: IpAddr) -> Option<Visitor> {
        let named = |default: &str| {
            let name = headers.get(OPERATOR_HEADER).and_then(|name| name.to_str().ok());
            Arc::from(name.map_or_else(|| default.to_owned(), cleaned))
        };
        let address = Some(address);
        let Some(token) = &self.token else {
            let csrf = Some(self.csrf("").into());
            return Some(Visitor { operator: named("local"), address, csrf, has_session: false });
        };
        if bearer(headers).is_some_and(|bearer| token.is(bearer)) {
            return Some(Visitor {
                operator: named("api"),
                address,
                csrf: None,
                has_session: false,
            });
        }
        let session = cookie(headers)?;
        let operator = self.operator(&session, clock::wall())?.into();
        let csrf = Some(self.csrf(&session).into());
        Some(Visitor { operator, address, csrf, has_session: true })
    }

    /// Returns the token that the forms of a session contain.
    fn csrf(&self, session: &str) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(b"form of ");
        context.update(session.as_bytes());
        URL_SAFE_NO_PAD.encode(context.sign())
    }

    /// Returns the value of the cookie of a new session.
    fn session(&self, operator: &str, now: Timestamp) -> String {
        let random = generate::<[u8; 16]>(&SystemRandom::new());
        let random =
            random.map_or_else(|_| String::new(), |it| URL_SAFE_NO_PAD.encode(it.expose()));
        let end = now.as_ms() / 1000 + SESSION_S;
        let content = URL_SAFE_NO_PAD.encode(format!("{end} {random} {operator}"));
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, content.as_bytes()));
        format!("{content}.{tag}")
    }

    /// Returns the operator of a session, or `None` if it has ended or was not made with this token.
    fn operator(&self, session: &str, now: Timestamp) -> Option<String> {
        let (content, tag) = session.split_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.key, content.as_bytes(), &tag).ok()?;
        let content = String::from_utf8(URL_SAFE_NO_PAD.decode(content).ok()?).ok()?;
        let mut parts = content.splitn(3, ' ');
        let end: i64 = parts.next()?.parse().ok()?;
        let operator = parts.nth(1)?;
        (now.as_ms() / 1000 < end).then(|| operator.to_owned())
    }

    /// Counts a try to sign in from `address`. Returns whether it is one too many.
    fn is_one_too_many(&self, address: IpAddr) -> bool {
        if self.tries.len() > ADDRESSES_MAX {
            self.tries.retain_recent();
        }
        self.tries.check_key(&address).is_err()
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut all = all.flat_map(|text| Cookie::split_parse(text).filter_map(Result::ok));
    all.find(|cookie| cookie.name() == COOKIE).map(|cookie| cookie.value().to_owned())
}

/// Returns a name without control characters, and not too long.
fn cleaned(name: &str) -> String {
    name.trim().chars().filter(|it| !it.is_control()).take(OPERATOR_MAX).collect()
}

/// Adds the visitor to a request with the token or a session. Answers 401 otherwise: with the sign-in page if a browser
/// asks for a page.
pub(super) async fn check(
    State(access): State<Arc<Access>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    if access.token.is_none() && !is_of_this_host(request.headers()) {
        let text = "without a token, the host of the URL must be an address or localhost\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    if let Some(visitor) = access.visitor(request.headers(), peer.ip()) {
        request.extensions_mut().insert(visitor);
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    if request.method() == Method::GET && wants_page(request.headers()) {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        return (StatusCode::UNAUTHORIZED, challenge, console::sign_in(target, None))
            .into_response();
    }
    (StatusCode::UNAUTHORIZED, challenge, "a bearer token is needed\n").into_response()
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Returns whether the host of a request is an address or `localhost`. Requests without a host come from no browser.
fn is_of_this_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let host = host.to_str().ok().and_then(|host| url::Url::parse(&format!("http://{host}/")).ok());
    host.is_some_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => true,
        None => false,
    })
}

/// The place to which the browser goes after the sign-in.
#[derive(Deserialize)]
pub(super) struct Target {
    #[serde(default)]
    next: String,
}

pub(super) async fn sign_in_page(Query(Target { next }): Query<Target>) -> Response {
    console::sign_in(local(&next), None).into_response()
}

/// The form of the sign-in page.
#[derive(Deserialize)]
pub(super) struct SignIn {
    operator: String,
    token: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn sign_in(
    State(access): State<Arc<Access>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    Form(form): Form<SignIn>,
) -> Response {
    let (next, operator) = (local(&form.next), cleaned(&form.operator));
    let refuse = |status: StatusCode, problem: &str| {
        (status, console::sign_in(next, Some(problem))).into_response()
    };
    let Some(token) = &access.token else { return Redirect::to(next).into_response() };
    if access.is_one_too_many(peer.ip()) {
        tracing::warn!(address = %peer.ip(), "too many tries to sign in");
        let mut refused = refuse(StatusCode::TOO_MANY_REQUESTS, "Too many tries. Wait a minute.");
        refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        return refused;
    }
    if operator.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "A name is needed.");
    }
    if !token.is(form.token.trim().as_bytes()) {
        tracing::warn!(address = %peer.ip(), %operator, "a sign-in was refused: the token is wrong");
        return refuse(StatusCode::UNAUTHORIZED, "The token is wrong.");
    }
    tracing::info!(address = %peer.ip(), %operator, "an operator signed in");
    let session = access.session(&operator, clock::wall());
    let age = CookieAge::seconds(SESSION_S);
    set_cookie(&session, age, &headers, Redirect::to(next).into_response())
}

/// Ends the session. The cookie is `SameSite=Strict`, so that no other site's page can send this request.
pub(super) async fn sign_out(headers: HeaderMap) -> Response {
    set_cookie("", CookieAge::ZERO, &headers, Redirect::to("/").into_response())
}

fn set_cookie(value: &str, age: CookieAge, headers: &HeaderMap, mut to: Response) -> Response {
    // Behind a proxy that ends TLS, the cookie must not go over a connection without it.
    let is_tls = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let cookie = Cookie::build((COOKIE, value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(is_tls)
        .max_age(age);
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        to.headers_mut().append(header::SET_COOKIE, value);
    }
    to
}

/// Returns a path of this server, or `/` for anything else.
fn local(next: &str) -> &str {
    let mut characters = next.chars();
    let is_path = characters.next() == Some('/') && !matches!(characters.next(), Some('/' | '\\'));
    if is_path && !next.contains(|it: char| it.is_control() || it == '\\') { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

    fn access(token: &str) -> Access {
        Access::new(Some(&Secret::new(token.to_owned())))
    }

    #[test]
    fn a_session_names_its_operator_until_it_ends_and_only_with_its_token() {
        let (one, same, other) = (access("t0ken"), access("t0ken"), access("an0ther"));
        let session = one.session("Asha Rao", NOW);
        assert_eq!(same.operator(&session, NOW).as_deref(), Some("Asha Rao"));
        assert_eq!(other.operator(&session, NOW), None);
        let end = Timestamp::from_ms(NOW.as_ms() + SESSION_S * 1000);
        assert_eq!(one.operator(&session, end), None);
        let (content, tag) = session.split_once('.').unwrap();
        let forged = URL_SAFE_NO_PAD.encode("9999999999 x root");
        for wrong in ["", ".", content, &format!("{forged}.{tag}"), &format!("{content}.")] {
            assert_eq!(one.operator(wrong, NOW), None, "{wrong}");
        }
        assert_ne!(one.csrf(&session), other.csrf(&session));
        assert_ne!(one.csrf(&session), one.csrf(&one.session("Asha Rao", NOW)));
    }

    #[test]
    fn a_sign_in_leads_only_to_paths_of_this_server() {
        for path in ["/", "/webhooks?q=a%20b"] {
            assert_eq!(local(path), path);
        }
        for foreign in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "a"]
        {
            assert_eq!(local(foreign), "/", "{foreign}");
        }
    }

    #[test]
    fn tries_to_sign_in_are_limited_by_address() {
        let (access, one, other) =
            (access("t"), IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let tries = (0..8).filter(|_| !access.is_one_too_many(one)).count();
        assert_eq!(tries, 5);
        assert!(!access.is_one_too_many(other));
    }
}
