//! The outcome of an attempt: data, never an error.

use super::SharedList;
use bytes::Bytes;

/// The longest part of an answer that an outcome contains, in bytes.
pub const RESPONSE_BYTES_KEPT: usize = 64 * 1024;

/// The longest part of an answer that is stored with a delivery until its next attempt, in bytes.
pub(super) const RESPONSE_BYTES_STORED: usize = 1024;

/// The longest part of an error that is stored, in bytes. An error may quote the endpoint, such as the names in its
/// certificate.
pub(super) const ERROR_BYTES_STORED: usize = 1024;

/// What an attempt means for its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint accepted the delivery.
    Delivered,
    /// A later attempt may succeed.
    Retry,
    /// No later attempt can succeed.
    GiveUp,
}

/// Why an attempt failed, in the platform's words where it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorReason {
    /// The endpoint, or its token server, refused the credentials.
    AuthenticationFailure,
    /// The endpoint did not answer in time.
    Timeout,
    /// A mandatory variable has no value.
    InvalidFlowVar,
    /// The request can't be built.
    InvalidRequest,
    /// The answer can't be read as its type, or is not HTTP.
    InvalidResponse,
    /// A mandatory part of the answer is missing.
    InvalidResponseMap,
    /// No connection could be made, or it broke.
    Unreachable,
    /// The address policy forbids the address.
    BlockedAddress,
    /// The status does not count as a success of the webhook.
    Refused,
}

impl ErrorReason {
    /// Every reason, for closed label sets.
    pub const ALL: [Self; 9] = [
        Self::AuthenticationFailure,
        Self::Timeout,
        Self::InvalidFlowVar,
        Self::InvalidRequest,
        Self::InvalidResponse,
        Self::InvalidResponseMap,
        Self::Unreachable,
        Self::BlockedAddress,
        Self::Refused,
    ];

    /// Returns the word that events and dead letters use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthenticationFailure => "AUTHENTICATION_FAILURE",
            Self::Timeout => "TIMEOUT",
            Self::InvalidFlowVar => "INVALID_FLOW_VAR",
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::InvalidResponse => "INVALID_RESPONSE",
            Self::InvalidResponseMap => "INVALID_RESPONSE_MAP",
            Self::Unreachable => "UNREACHABLE",
            Self::BlockedAddress => "BLOCKED_ADDRESS",
            Self::Refused => "REFUSED",
        }
    }
}

/// The class of a status by its first digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusType {
    Informational,
    Successful,
    Redirection,
    ClientError,
    ServerError,
}

impl StatusType {
    /// All variants, in declaration order.
    pub const ALL: [Self; 5] = [
        Self::Informational,
        Self::Successful,
        Self::Redirection,
        Self::ClientError,
        Self::ServerError,
    ];

    /// Returns the class of `status`.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        match status {
            0..200 => Self::Informational,
            200..300 => Self::Successful,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }

    /// Returns the word that events and dead letters use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "INFORMATIONAL",
            Self::Successful => "SUCCESSFUL",
            Self::Redirection => "REDIRECTION",
            Self::ClientError => "CLIENT_ERROR",
            Self::ServerError => "SERVER_ERROR",
        }
    }
}

/// A variable that got its value from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The variable's name, such as `$flow.key.reqID`.
    pub save_in: Box<str>,
    /// The value as JSON.
    pub value: Box<str>,
}

/// The outcome of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the outcome means for the delivery.
    pub verdict: Verdict,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// The time from the attempt's start to its end, in milliseconds.
    pub duration_ms: u64,
    /// The body of the answer, at most [`RESPONSE_BYTES_KEPT`].
    pub response: Bytes,
    /// Whether the answer was longer than the kept part, or did not end.
    pub response_truncated: bool,
    /// The pause that the endpoint asks for, before the limit of `retry_after_max_ms`. Not stored.
    pub retry_after_ms: Option<u64>,
    /// Whether the endpoint asks to be disabled. Not stored.
    pub disables: bool,
    /// The values that the webhook's response map found in the answer of a success. Not stored.
    pub mapped: SharedList<Mapped>,
    /// Why the attempt failed; `None` if it succeeded.
    pub reason: Option<ErrorReason>,
    /// The text of the error, for operators.
    pub error: Option<Box<str>>,
}

impl Outcome {
    /// Returns the outcome of an attempt without an answer.
    #[must_use]
    pub fn unanswered(verdict: Verdict, reason: ErrorReason, error: impl Into<Box<str>>) -> Self {
        Self {
            verdict,
            status: None,
            duration_ms: 0,
            response: Bytes::new(),
            response_truncated: false,
            retry_after_ms: None,
            disables: false,
            mapped: SharedList::default(),
            reason: Some(reason),
            error: Some(error.into()),
        }
    }

    /// Returns whether the call resulted in an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.verdict != Verdict::Delivered
    }

    /// Returns the part that is stored with a delivery until its next attempt: at most 1 KiB each of the answer and of
    /// the error. The pause is left out, because the due time already contains it.
    #[must_use]
    pub fn stored(&self) -> Self {
        let mut outcome =
            Self { retry_after_ms: None, mapped: SharedList::default(), ..self.clone() };
        if let Some(kept) = self.response.get(..RESPONSE_BYTES_STORED)
            && kept.len() < self.response.len()
        {
            // A copy, so that the row does not keep the buffer of the whole answer alive.
            outcome.response = Bytes::copy_from_slice(kept);
            outcome.response_truncated = true;
        }
        if let Some(error) = self.error.as_ref().filter(|error| error.len() > ERROR_BYTES_STORED) {
            let end = error.floor_char_boundary(ERROR_BYTES_STORED);
            outcome.error = error.get(..end).map(Box::from);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::StatusType;

    #[test]
    fn the_classes_of_statuses_begin_and_end_at_the_hundreds() {
        let words =
            [199, 200, 299, 300, 399, 400, 499, 500, 999].map(|s| StatusType::of(s).as_str());
        let [info, ok, ok2, re, re2, client, client2, server, server2] = words;
        assert_eq!([info], ["INFORMATIONAL"]);
        assert_eq!([ok, ok2], ["SUCCESSFUL"; 2]);
        assert_eq!([re, re2], ["REDIRECTION"; 2]);
        assert_eq!([client, client2], ["CLIENT_ERROR"; 2]);
        assert_eq!([server, server2], ["SERVER_ERROR"; 2]);
    }
}
