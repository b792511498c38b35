//! A test message: an attempt without a delivery, made by the same client as all deliveries, with the details that an
//! operator wants to see.

use super::address::AddressPolicy;
use super::client::Response;
use super::endpoint::{Endpoint, EndpointError, Message};
use super::hidden::Hidden;
use super::names::Names;
use super::resolver::Resolver;
use super::tls::Trust;
use super::webhook::Webhook;
use crate::domain::{DeliveryId, Outcome, Rendered};
use bytes::Bytes;
use hyper_util::client::legacy::connect::HttpInfo;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The content of a test message.
pub struct TrialMessage {
    /// Makes the id random, so that no receiver mistakes the message for one that it has already seen.
    pub random: u128,
    pub body: Bytes,
    /// URL and headers, if they vary between deliveries.
    pub rendered: Option<Rendered>,
    /// The time of the signature.
    pub unix_seconds: i64,
}

impl TrialMessage {
    /// Returns the `webhook-id`. The ids of deliveries have another prefix.
    #[must_use]
    pub fn id(&self) -> String {
        format!("test_{:032x}", self.random)
    }
}

/// A finished attempt. It contains no secret.
#[derive(Debug)]
pub struct Trial {
    /// The request's headers, without those that HTTP adds.
    pub headers: Vec<(String, String)>,
    /// The head of the answer, if there was one.
    pub head: Option<Head>,
    pub outcome: Outcome,
    /// How long the name look-up took; `None` without a look-up, as for an address.
    pub look_up: Option<Duration>,
    /// From the start of the attempt to its end.
    pub whole: Duration,
}

/// The head of an answer.
#[derive(Debug)]
pub struct Head {
    /// The time since the start of the attempt.
    pub after: Duration,
    /// The HTTP version, such as `HTTP/1.1`.
    pub version: String,
    /// The address of the server.
    pub address: Option<SocketAddr>,
    pub headers: Vec<(String, String)>,
}

impl Trial {
    /// Sends `message` to the endpoint of `webhook`.
    ///
    /// # Errors
    /// The webhook's certificates or credentials can't be used, or the host lacks a resource.
    pub async fn make(
        webhook: &Arc<Webhook>,
        trust: &Trust,
        addresses: &AddressPolicy,
        names: &Names,
        message: &TrialMessage,
    ) -> Result<Self, EndpointError> {
        let looked_up = Arc::new(OnceLock::new());
        let slot = looked_up.clone();
        let shared = names.clone();
        let look_up = move |name| {
            let (slot, names) = (slot.clone(), shared.clone());
            async move {
                let started = Instant::now();
                let found = names.look_up(name).await;
                // A second look-up belongs to another connection.
                let _ = slot.set(started.elapsed());
                found
            }
        };
        let resolver = Resolver::new(addresses.clone(), look_up);
        let endpoint = Endpoint::resolving(webhook.clone(), trust, resolver, names)?;
        let TrialMessage { random, body, rendered, unix_seconds } = message;
        let id = DeliveryId::from_bytes(random.to_be_bytes());
        let said = Message { body: body.clone(), rendered: rendered.as_ref(), trace: None };
        let request =
            endpoint.request(id, message.id(), 1, said, *unix_seconds).map_err(|outcome| {
                EndpointError::Unrenderable(outcome.error.unwrap_or_default().into())
            })?;
        let sent = request.headers().clone();
        let mut head = None;
        let started = Instant::now();
        let see_head = |response: &Response| {
            let version = format!("{:?}", response.version());
            let connection = response.extensions().get::<HttpInfo>();
            let address = connection.map(HttpInfo::remote_addr);
            let head_of = (version, address, response.headers().clone());
            head = Some((started.elapsed(), head_of));
        };
        let mut own = Vec::new();
        let outcome = endpoint.exchange(request, see_head, &mut own).await;
        let outcome =
            outcome.map_err(|shortage| EndpointError::Short(webhook.name.to_string(), shortage))?;
        let whole = started.elapsed();
        let hidden = Hidden::of(webhook);
        let hidden = hidden.and(&own);
        let headers = hidden.headers(&sent);
        let head = head.map(|(after, (version, address, headers))| Head {
            after,
            version,
            address,
            headers: hidden.headers(&headers),
        });
        let outcome = hidden.outcome(outcome);
        Ok(Self { headers, head, outcome, look_up: looked_up.get().copied(), whole })
    }
}
