//! The reasons why a request of the console or of the API has no answer.

use crate::inspect::InspectError;
use crate::log::LogError;
use crate::replay::ReplayError;
use crate::telemetry::with_causes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The reason why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// A parameter is wrong.
    #[error("{0}")]
    BadRequest(String),
    /// The thing does not exist.
    #[error("{0}")]
    Missing(String),
    /// A form that no page of this session has sent.
    #[error(
        "the form does not belong to this session: sign in, open the page again and repeat the change"
    )]
    ForeignForm,
    /// Something else runs that excludes this.
    #[error("{0}")]
    Conflict(String),
    /// Too many readings run.
    #[error("too many readings of Kafka run on this instance: wait until one of them has ended")]
    Busy,
    /// The reading was cancelled.
    #[error("the reading was cancelled")]
    Cancelled,
    /// Kafka can't be reached or read.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of the daemon.
    #[error("{0}")]
    Internal(String),
}

impl Failure {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::ForeignForm => StatusCode::FORBIDDEN,
            Self::Conflict(_) | Self::Cancelled => StatusCode::CONFLICT,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the failure of a task that panicked or was stopped.
    pub(super) fn of_task(error: &tokio::task::JoinError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        InspectError::from(error).into()
    }
}

impl From<InspectError> for Failure {
    fn from(error: InspectError) -> Self {
        match error {
            InspectError::Interrupted => Self::Cancelled,
            InspectError::NoTopic(_) => Self::Missing(error.to_string()),
            InspectError::Kafka(_) => Self::Unavailable(with_causes(&error)),
            InspectError::Row(..) | InspectError::Store(_) | InspectError::Receiver(..) => {
                Self::Internal(with_causes(&error))
            }
        }
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Interrupted => Self::Cancelled,
            ReplayError::NoTopic(_) => Self::Missing(error.to_string()),
            ReplayError::TakenOver => Self::Conflict(error.to_string()),
            ReplayError::Kafka(_) => Self::Unavailable(with_causes(&error)),
        }
    }
}

impl IntoResponse for Failure {
    /// Returns the failure as text. The layers of the API and of the pages show it in their own form.
    fn into_response(self) -> Response {
        let mut response = (self.status(), format!("{self}\n")).into_response();
        if matches!(self, Self::Busy) {
            let seconds = axum::http::HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response.extensions_mut().insert(self);
        response
    }
}
