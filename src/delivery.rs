//! HTTP: makes the attempts of deliveries and judges their results.
//!
//! A [`Webhook`] is parsed once from the configuration. An [`Endpoint`] is its live client, and calls only addresses
//! that the [`AddressPolicy`] allows. [`Lanes`] hold the jobs that the engine has taken from the outbox. A job leaves
//! its lane when the lane's rate, concurrency and breaker and the instance's slots allow it. Nothing here is durable: a
//! lost job is still a row of the outbox. A [`Shortage`] is the daemon's own and not an outcome: the job goes back, and
//! the instance slows down.

mod address;
mod answer;
mod bound;
mod brake;
mod breaker;
mod client;
mod concurrency;
mod control;
mod endpoint;
mod expiry;
mod guard;
mod header_signature;
mod hidden;
mod lane;
mod lanes;
mod named;
mod names;
mod proxy;
mod queues;
mod rate;
mod resolver;
mod response;
mod retry_after;
mod route;
mod schedule;
mod secret;
mod shortage;
mod signature;
mod tls;
mod token;
mod traced;
mod trial;
mod webhook;

#[cfg(test)]
mod tests;

pub use address::{AddressPolicy, BlockedAddress};
pub use brake::ShortageNote;
pub use breaker::BreakerState;
pub use endpoint::{Endpoint, EndpointError, Message};
pub use expiry::CertificateFile;
pub use header_signature::{ContentError, Encoding, HeaderSignature, Scheme, SignedText};
pub use lane::{Demand, Job};
#[cfg(test)]
pub(crate) use lanes::{AlarmClock, Attempt, Courier};
pub use lanes::{Attempted, Lanes, LanesRemote, Unsettled, Watch};
pub use names::{FailedLookUp, Names};
pub use proxy::{Proxy, ProxyError};
pub use rate::PerSecond;
pub use response::Response;
pub use retry_after::retry_after_ms;
pub use schedule::{InstanceLimits, LaneChanges, LaneState, Obstacle, Ready};
pub use secret::{SecretError, SigningSecret};
pub use shortage::Shortage;
pub use signature::sign;
pub use tls::{TlsError, Trust};
pub use token::{ClientCredentials, SentIn};
pub use trial::{Head, Trial, TrialMessage};
pub use webhook::{
    Auth, BreakerPolicy, Fingerprint, HIDDEN_CHARS_MIN, Limits, Secret, SuccessCodes, Tls, Webhook,
};
