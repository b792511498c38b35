//! HTTP: how a delivery's attempt is made, and what came of it.
//!
//! A [`Webhook`] is parsed once from the configuration; an [`Endpoint`] is its live client, which calls only addresses that
//! the [`AddressPolicy`] allows; [`Lanes`] hold the jobs that the engine has taken from the outbox, and let them leave by
//! what rates, concurrency, breakers and the instance's slots allow. Nothing here is durable: a job that is lost is still a
//! row of the outbox. A [`Shortage`] of the daemon's own is no outcome: the job goes back, and the instance slows down.

mod address;
mod answer;
mod bound;
mod brake;
mod breaker;
mod client;
mod concurrency;
mod endpoint;
mod guard;
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
mod trial;
mod webhook;

#[cfg(test)]
mod tests;

pub use address::{AddressPolicy, BlockedAddress};
pub use brake::ShortageNote;
pub use breaker::BreakerState;
pub use endpoint::{Endpoint, EndpointError, Message};
pub use lane::{Appetite, Job};
#[cfg(test)]
pub(crate) use lanes::{AlarmClock, Attempt, Courier};
pub use lanes::{Attempted, Lanes, LanesRemote, Unsettled, Watch};
pub use names::{FailedLookUp, Names};
pub use proxy::{Proxy, ProxyError};
pub use rate::PerSecond;
pub use response::Response;
pub use retry_after::retry_after_ms;
pub use schedule::{InstanceLimits, Ready};
pub use secret::{SecretError, SigningSecret};
pub use shortage::Shortage;
pub use signature::sign;
pub use tls::{TlsError, Trust};
pub use token::{ClientCredentials, SentIn};
pub use trial::{Head, Trial, TrialMessage};
pub use webhook::{Auth, BreakerRules, Fingerprint, Limits, Secret, SuccessCodes, Tls, Webhook};
