//! The bearer token.

use crate::delivery::Secret;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ring::hmac;
use std::sync::Arc;

/// Knows the token when it sees it.
pub(super) struct Guard {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl Guard {
    pub(super) fn new(token: &Secret) -> Self {
        // Not a secret key: the digest is there because equal digests can be told in constant time, of any lengths.
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
        // An empty token is nobody's, even if the configuration has it so.
        bearer.is_some_and(|token| {
            !token.is_empty() && hmac::verify(&self.key, token, self.tag.as_ref()).is_ok()
        })
    }
}

/// Lets a request pass that shows the token.
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
