//! Resolves the names of endpoints, and applies the address policy to the addresses.
//!
//! The client connects to exactly the addresses that were checked. There is no second look-up that could return others.
//! A host that is already an address never gets here, so the endpoint checks it itself.

use super::address::AddressPolicy;
use reqwest::dns::{Name, Resolve, Resolving};
use std::future::Future;
use std::io;
use std::net::SocketAddr;

/// Resolves a name once per connection, and returns only addresses that the policy allows.
pub(super) struct Resolver<L> {
    policy: AddressPolicy,
    look_up: L,
    /// Whether one forbidden address is enough to refuse a name.
    strict: bool,
}

impl<L> Resolver<L> {
    /// Creates a resolver that asks `look_up`.
    pub(super) fn new(policy: AddressPolicy, look_up: L) -> Self {
        Self { policy, look_up, strict: false }
    }

    /// Refuses a name with any forbidden address. This is for names that a proxy resolves again, since it may connect
    /// to that one.
    pub(super) fn strict(self) -> Self {
        Self { strict: true, ..self }
    }

    /// Returns the address policy.
    pub(super) fn policy(&self) -> &AddressPolicy {
        &self.policy
    }
}

impl<L, F> Resolve for Resolver<L>
where
    L: Fn(String) -> F + Send + Sync,
    F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
{
    fn resolve(&self, name: Name) -> Resolving {
        let looked_up = (self.look_up)(name.as_str().to_owned());
        let policy = self.policy.clone();
        let strict = self.strict;
        Box::pin(async move {
            let addresses = looked_up.await?;
            if strict {
                addresses.iter().try_for_each(|address| policy.check(address.ip()))?;
            }
            let allowed = policy.allowed(addresses)?;
            Ok(Box::new(allowed.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}
