//! Decides whether an exchange is made again at once: when its connection failed, or the endpoint says that it has not looked at
//! the request.

use super::link::Link;
use http::header::CONNECTION;
use http::{HeaderMap, Response, StatusCode, Version};
use hyper_util::client::legacy;
use std::error::Error;
use std::time::Instant;

/// How a second exchange is made, each time on a fresh connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// On one like the first.
    Fresh,
    /// On one of HTTP/1.1, which the endpoint demands.
    Http1,
    /// Not at once, since the endpoint has answered; but this library can't read its HTTP/2, as where a head is too large. The next
    /// attempt will know the status.
    LaterByHttp1,
}

/// After `error`, which ended an exchange on `link` that began at `started`.
pub(super) fn after_error(
    error: &legacy::Error,
    link: Option<&Link>,
    started: Instant,
) -> Option<Again> {
    let causes = || std::iter::successors(error.source(), |cause| (*cause).source());
    let http2 = causes().find_map(|cause| cause.downcast_ref::<h2::Error>());
    if let Some(reason) = http2.filter(|error| error.is_remote()).and_then(h2::Error::reason) {
        let is_reset = http2.is_some_and(h2::Error::is_reset);
        match reason {
            h2::Reason::HTTP_1_1_REQUIRED => return Some(Again::Http1),
            // The endpoint says that it has not looked at the request.
            h2::Reason::REFUSED_STREAM if is_reset => return Some(Again::Fresh),
            h2::Reason::NO_ERROR if !is_reset => return Some(Again::Fresh),
            _ => {}
        }
    }
    if let Some(error) = http2.filter(|error| error.is_reset()) {
        // A stream that either side ended for itself: the connection is well.
        return error.is_library().then_some(Again::LaterByHttp1);
    }
    if error.is_connect() {
        return None;
    }
    let link = link?;
    (link.is_older_than(started) && !link.has_heard()).then_some(Again::Fresh)
}

/// After `response` to an exchange on `link`; `was_older`: the connection was there before the exchange.
pub(super) fn after_answer<B>(
    response: &Response<B>,
    link: &Link,
    was_older: bool,
) -> Option<Again> {
    match response.status() {
        // The connection leads to somebody else.
        StatusCode::MISDIRECTED_REQUEST => Some(Again::Fresh),
        // A gateway ends an idle connection with it, before it has seen the request.
        StatusCode::REQUEST_TIMEOUT if was_older && !link.is_http2() && closes(response) => {
            Some(Again::Fresh)
        }
        _ => None,
    }
}

fn closes<B>(response: &Response<B>) -> bool {
    let says = |word: &str| says(response.headers(), word);
    says("close") || (response.version() == Version::HTTP_10 && !says("keep-alive"))
}

fn says(headers: &HeaderMap, word: &str) -> bool {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
}
