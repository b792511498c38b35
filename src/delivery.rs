//! HTTP: how a delivery's attempt is made, and what came of it.
//!
//! A [`Webhook`] is parsed once from the configuration; an [`Endpoint`] is its live client; [`Lanes`] hold the jobs that
//! the engine has taken from the outbox, and bound how many are on their way. Nothing here is durable: a job that is lost
//! is still a row of the outbox.

mod endpoint;
mod lane;
mod signature;
mod tls;
mod webhook;

pub use endpoint::{Endpoint, EndpointError};
pub use lane::{Attempted, Job, Lanes, Watch};
pub use signature::sign;
pub use tls::{TlsError, Trust};
pub use webhook::{Auth, Limits, Secret, SecretError, SigningSecret, SuccessCodes, Tls, Webhook};
