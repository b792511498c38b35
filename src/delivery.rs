//! HTTP: how a delivery's attempt is made, and what came of it.

mod webhook;

pub use webhook::{Auth, Limits, Secret, SecretError, SigningSecret, SuccessCodes, Tls, Webhook};
