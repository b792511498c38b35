//! The check of the bearer token.

use crate::delivery::Secret;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::hmac;
use std::sync::Arc;

/// The expected token, kept as a digest.
pub(super) struct Guard {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Guard {
    pub(super) fn new(token: &Secret) -> Self {
        // The HMAC key is not secret. Digests have one length, so tokens of any length are compared in constant time.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"ringback admin token");
        let tag = hmac::sign(&key, token.reveal().as_bytes());
        Self { key, tag }
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().split_at_checked("Bearer ".len()))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "))
            .map(|(_, token)| token.trim_ascii());
        // An empty token is never accepted, even if the configured token is empty.
        bearer.is_some_and(|token| {
            !token.is_empty() && hmac::verify(&self.key, token, self.tag.as_ref()).is_ok()
        })
    }
}

/// Passes a request on if it has the right token, and answers 401 otherwise.
pub(super) async fn check(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    if guard.admits(request.headers()) {
        next.run(request).await
    } else {
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        (StatusCode::UNAUTHORIZED, challenge, "a bearer token is needed\n").into_response()
    }
}
