//! The result of an exchange: an answer, read as far as needed, or the reason why there is none.

use super::address::BlockedAddress;
use super::client::{Cause, ConnectTimedOut, Response};
use super::control::Control;
use super::response::{End, Unusable};
use super::retry_after::retry_after_ms;
use super::shortage::Shortage;
use super::webhook::Webhook;
use crate::domain::{ErrorReason, Outcome, RESPONSE_BYTES_KEPT, Verdict};
use bytes::BytesMut;
use http::StatusCode;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy;
use std::error::Error;
use std::io;
use std::pin::pin;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, timeout_at};

/// How long to wait for the end of a body that is not needed.
pub(super) const BODY_PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// The attempt was made and failed with this outcome.
    Failed(Outcome),
    /// The attempt could not be made.
    Short(Shortage),
}

impl From<Outcome> for NoAnswer {
    fn from(outcome: Outcome) -> Self {
        Self::Failed(outcome)
    }
}

/// Reads the answer to a request of `webhook`. Once the status is known, it decides, whatever happens to the body. A
/// body longer than the limit, or later than [`BODY_PATIENCE`], is not waited for, and its connection is closed. Only a
/// webhook with a response map needs the body of a success, and waits for it until the deadline.
pub(super) async fn read(webhook: &Webhook, response: Response, deadline: Instant) -> Outcome {
    let status = response.status();
    let retry_after_ms = retry_after_ms(status, response.headers(), SystemTime::now());
    let (mut verdict, mut reason) = judge(webhook, status);
    // The answer of a proxy says nothing about the endpoint.
    let control = match reason {
        Some(ErrorReason::Unreachable) => Control::default(),
        Some(_) | None => Control::read(response.headers()),
    };
    let wanted = webhook.response.as_ref().filter(|_| verdict == Verdict::Delivered);
    let deadline = match wanted {
        Some(_) => deadline,
        None => deadline.min(Instant::now() + BODY_PATIENCE),
    };
    let mut body = pin!(response.into_body());
    let mut kept = BytesMut::new();
    let end = loop {
        // Chunks are counted after decompression, so that a small answer can't expand into a large one.
        match timeout_at(deadline, body.frame()).await {
            Ok(None) => break End::Whole,
            Ok(Some(Ok(frame))) => {
                // Trailers say nothing.
                let Ok(chunk) = frame.into_data() else { continue };
                let room = RESPONSE_BYTES_KEPT - kept.len();
                kept.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
                if chunk.len() > room {
                    break End::TooLong;
                }
            }
            Ok(Some(Err(_))) | Err(_) => break End::Broken,
        }
    };
    let (mut mapped, mut error) = (Vec::new(), None);
    if let Some(wanted) = wanted {
        match wanted.read(&kept, end) {
            Ok(found) => mapped = found,
            Err(Unusable { verdict: other, reason: why, text }) => {
                (verdict, reason, error) = (other, Some(why), Some(text.into()));
            }
        }
    }
    if verdict == Verdict::Retry && (control.disables || control.aborts) {
        verdict = Verdict::GiveUp;
    }
    Outcome {
        verdict,
        status: Some(status.as_u16()),
        duration_ms: 0,
        response: kept.freeze(),
        response_truncated: end != End::Whole,
        retry_after_ms,
        disables: control.disables,
        mapped: mapped.into(),
        reason,
        error,
    }
}

fn judge(webhook: &Webhook, status: StatusCode) -> (Verdict, Option<ErrorReason>) {
    if webhook.success.contains(status.as_u16()) {
        return (Verdict::Delivered, None);
    }
    if webhook.proxy.is_some() && status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        // The operator's proxy sent this status. The endpoint was not reached, so the delivery must not fail for good.
        return (Verdict::Retry, Some(ErrorReason::Unreachable));
    }
    let reason = if status == StatusCode::UNAUTHORIZED {
        ErrorReason::AuthenticationFailure
    } else {
        ErrorReason::Refused
    };
    let is_retried = is_passing(status) || webhook.retried.contains(&status.as_u16());
    (if is_retried { Verdict::Retry } else { Verdict::GiveUp }, Some(reason))
}

/// Returns whether a later attempt may succeed.
pub(super) fn is_passing(status: StatusCode) -> bool {
    let passing =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    passing.contains(&status) || status.as_u16() >= 500
}

/// Nothing was sent, because the address policy forbids the address.
pub(super) fn refused(blocked: &BlockedAddress) -> Outcome {
    Outcome::unanswered(Verdict::GiveUp, ErrorReason::BlockedAddress, blocked.to_string())
}

/// Nothing was sent, because a variable has no value or the values make no valid URL.
pub(super) fn unrenderable(problem: &str) -> Outcome {
    Outcome::unanswered(Verdict::GiveUp, ErrorReason::InvalidFlowVar, problem.to_owned())
}

/// Nothing was sent, because HTTP has no form for the URL.
pub(super) fn unaddressable(problem: &http::Error) -> Outcome {
    let text = format!("the request can't be built: {problem}");
    Outcome::unanswered(Verdict::GiveUp, ErrorReason::InvalidRequest, text)
}

/// The deadline passed before a status came.
pub(super) fn timed_out() -> Outcome {
    let error = "no answer within request_timeout_ms".to_owned();
    Outcome::unanswered(Verdict::Retry, ErrorReason::Timeout, error)
}

/// A status came, and then the head ended early or could not be parsed. The status decides all the same; only the rest
/// of the answer is lost.
pub(super) fn headless(webhook: &Webhook, status: StatusCode, cause: &Cause) -> Outcome {
    let (mut verdict, mut reason) = judge(webhook, status);
    let needs_answer = webhook.response.as_ref().is_some_and(|response| response.is_needed());
    if verdict == Verdict::Delivered && needs_answer {
        // The values that the response map needs were in the body.
        (verdict, reason) = (Verdict::Retry, Some(ErrorReason::InvalidResponse));
    }
    let why = match cause {
        Cause::Late => "did not end within request_timeout_ms".to_owned(),
        Cause::Exchange(error) if hyper_cause(error, hyper::Error::is_parse_too_large) => {
            "is too large".to_owned()
        }
        Cause::Exchange(error) if hyper_cause(error, hyper::Error::is_parse) => {
            chain("can't be read", error)
        }
        Cause::Exchange(error) => chain("broke off", error),
    };
    let error = format!("the status is {}, but the head of the answer {why}", status.as_u16());
    Outcome {
        verdict,
        status: Some(status.as_u16()),
        response_truncated: true,
        reason,
        ..Outcome::unanswered(verdict, ErrorReason::InvalidResponse, error)
    }
}

/// The exchange failed before a status came.
pub(super) fn broken(cause: &Cause) -> NoAnswer {
    let error = match cause {
        Cause::Late => return timed_out().into(),
        Cause::Exchange(error) => error,
    };
    if let Some(shortage) = Shortage::of(error) {
        return NoAnswer::Short(shortage);
    }
    if let Some(blocked) = causes(error).find_map(|cause| cause.downcast_ref()) {
        return refused(blocked).into();
    }
    let text =
        chain(if error.is_connect() { "no connection" } else { "the request failed" }, error);
    let reason = if causes(error).any(is_timeout) {
        ErrorReason::Timeout
    } else if !error.is_connect() && (hyper_cause(error, hyper::Error::is_parse) || is_ours(error))
    {
        ErrorReason::InvalidResponse
    } else {
        ErrorReason::Unreachable
    };
    Outcome::unanswered(Verdict::Retry, reason, text).into()
}

/// This host has no route to any of the endpoint's addresses. The system reports it as if no port were free.
pub(super) fn without_route() -> Outcome {
    let error = "no connection: no address of this host can reach the endpoint's (EADDRNOTAVAIL), as without IPv6";
    Outcome::unanswered(Verdict::Retry, ErrorReason::Unreachable, error.to_owned())
}

fn is_timeout(cause: &(dyn Error + 'static)) -> bool {
    let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    cause.is::<ConnectTimedOut>()
        || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout)
        || io == Some(io::ErrorKind::TimedOut)
}

/// Returns whether the HTTP library itself ended the HTTP/2 stream, because the head was too large or malformed.
fn is_ours(error: &legacy::Error) -> bool {
    let mut causes = causes(error).filter_map(|cause| cause.downcast_ref::<h2::Error>());
    causes.any(|error| error.is_reset() && error.is_library())
}

fn hyper_cause(error: &legacy::Error, is: impl Fn(&hyper::Error) -> bool) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(is)
}

/// Iterates over the error and its causes.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause| (*cause).source())
}

/// Joins `text` with the error and its causes. None of them contains the URL, which may hold a customer's secret.
fn chain(text: &str, error: &(dyn Error + 'static)) -> String {
    causes(error).fold(text.to_owned(), |text, cause| format!("{text}: {cause}"))
}
