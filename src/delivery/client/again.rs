//! Decides whether an exchange is repeated at once: if its connection failed, or if the endpoint says that it did not
//! process the request.

use super::link::Link;
use http::header::CONNECTION;
use http::{HeaderMap, Response, StatusCode, Version};
use hyper_util::client::legacy;
use std::error::Error;
use std::time::Instant;

/// How to repeat an exchange. Each way uses a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// At once, on a connection like the first one.
    Fresh,
    /// At once, on an HTTP/1.1 connection, because the endpoint demands it.
    Http1,
    /// Not at once, because the endpoint has answered. The library can't parse this HTTP/2 answer, for example because
    /// its head is too large. The next attempt uses HTTP/1.1 and gets the status.
    LaterByHttp1,
}

/// Decides after `error` ended an exchange on `link` that began at `started`.
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
            // The endpoint says that it did not process the request.
            h2::Reason::REFUSED_STREAM if is_reset => return Some(Again::Fresh),
            h2::Reason::NO_ERROR if !is_reset => return Some(Again::Fresh),
            _ => {}
        }
    }
    if let Some(error) = http2.filter(|error| error.is_reset()) {
        // Either side ended this stream only: the connection still works.
        return error.is_library().then_some(Again::LaterByHttp1);
    }
    if error.is_connect() {
        return None;
    }
    let link = link?;
    (link.is_older_than(started) && !link.has_received()).then_some(Again::Fresh)
}

/// Decides after `response` to an exchange on `link`. `was_older` says that the connection existed before the exchange.
pub(super) fn after_answer<B>(
    response: &Response<B>,
    link: &Link,
    was_older: bool,
) -> Option<Again> {
    match response.status() {
        // The connection leads to another server.
        StatusCode::MISDIRECTED_REQUEST => Some(Again::Fresh),
        // A gateway ends an idle connection with this status, before it has read the request.
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
