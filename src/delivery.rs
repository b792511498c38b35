//! HTTP: how a delivery's attempt is made, and what came of it.
//!
//! A [`Webhook`] is parsed once from the configuration; an [`Endpoint`] is its live client, which calls only addresses that
//! the [`AddressPolicy`] allows; [`Lanes`] hold the jobs that the engine has taken from the outbox, and bound how many are
//! on their way. Nothing here is durable: a job that is lost
//! is still a row of the outbox.

mod address;
mod endpoint;
mod lane;
mod resolver;
mod secret;
mod signature;
mod tls;
mod trial;
mod webhook;

#[cfg(test)]
mod tests;

pub use address::{AddressPolicy, BlockedAddress};
pub use endpoint::{Endpoint, EndpointError};
pub use lane::{Attempted, Job, Lanes, Watch};
pub use secret::{SecretError, SigningSecret};
pub use signature::sign;
pub use tls::{TlsError, Trust};
pub use trial::{Head, Trial, TrialMessage};
pub use webhook::{Auth, Limits, Secret, SuccessCodes, Tls, Webhook};
