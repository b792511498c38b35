//! What the handlers of pages and of the API get of a request: the console, the operator and the parameters. A request
//! that changes something also has the proof that a page of the console sent its form.

use super::Console;
use super::failure::Failure;
use super::fields::Fields;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Method, header};
use ring::hmac;
use std::net::IpAddr;
use std::sync::Arc;

/// The header with which a script of a page proves that it belongs to the console.
const CSRF_HEADER: &str = "x-csrf-token";

/// The member of a form that has the same purpose.
pub(super) const CSRF_FIELD: &str = "csrf";

/// The operator behind a request, as the check of the token has found it.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The name that the operator gave, for audit events.
    pub operator: Arc<str>,
    /// The address of the client.
    pub address: Option<IpAddr>,
    /// Proves that a form comes from a page of this session. `None`: the client sent a bearer token, which no page of
    /// another site can make a browser send.
    pub csrf: Option<Arc<str>>,
    /// Whether there is a session, so that the operator can sign out.
    pub has_session: bool,
}

impl Visitor {
    /// Checks the token of a form or of a script. Without a session, only a form needs it: a page of another site can't
    /// make a browser send anything else.
    fn check(&self, token: Option<&str>, is_form: bool) -> Result<(), Failure> {
        if !self.has_session && !is_form {
            return Ok(());
        }
        // The key is not secret. Digests have one length, so they are compared in constant time.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"ringback form token");
        let is_right = self.csrf.as_ref().is_none_or(|csrf| {
            let expected = hmac::sign(&key, csrf.as_bytes());
            token.is_some_and(|it| hmac::verify(&key, it.as_bytes(), expected.as_ref()).is_ok())
        });
        if is_right { Ok(()) } else { Err(Failure::ForeignForm) }
    }
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        // Every route of the console is behind the check that adds the visitor.
        let visitor = parts.extensions.get::<Self>().cloned();
        visitor.ok_or_else(|| Failure::Internal("the request has no visitor".to_owned()))
    }
}

/// A request that reads.
pub(super) struct Asked {
    pub(super) console: Arc<Console>,
    pub(super) visitor: Visitor,
    /// The parameters of the query.
    pub(super) fields: Fields,
}

impl FromRequestParts<Arc<Console>> for Asked {
    type Rejection = Failure;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &Arc<Console>,
    ) -> Result<Self, Failure> {
        let visitor = Visitor::from_request_parts(parts, console).await?;
        let fields = Fields::of_form(parts.uri.query().unwrap_or_default().as_bytes())?;
        Ok(Self { console: console.clone(), visitor, fields })
    }
}

/// A request that changes something, from a page of the console or from a client with a bearer token. Its parameters
/// are those of the body.
pub(super) struct Posted(pub(super) Asked);

impl FromRequest<Arc<Console>> for Posted {
    type Rejection = Failure;

    async fn from_request(request: Request, console: &Arc<Console>) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, console).await?;
        let text = |name| {
            let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
            value.map(str::to_owned)
        };
        let (in_header, kind) = (text(CSRF_HEADER), text(header::CONTENT_TYPE.as_str()));
        let is_json = kind.is_some_and(|kind| kind.starts_with("application/json"));
        let is_form = parts.method == Method::POST && !is_json;
        let bytes = Bytes::from_request(Request::from_parts(parts, body), console)
            .await
            .map_err(|rejection| Failure::BadRequest(rejection.body_text()))?;
        let mut fields = if is_json { Fields::of_json(&bytes)? } else { Fields::of_form(&bytes)? };
        let in_form = fields.text(CSRF_FIELD);
        visitor.check(in_form.as_deref().or(in_header.as_deref()), is_form)?;
        Ok(Self(Asked { console: console.clone(), visitor, fields }))
    }
}
