//! Names become addresses, and the address policy has its say in between.
//!
//! The client connects to the very addresses that were checked: a second look-up, which could answer otherwise, does not
//! happen. A host that is an address already never comes here, so the endpoint checks that one itself.

use super::address::AddressPolicy;
use reqwest::dns::{Name, Resolve, Resolving};
use std::future::Future;
use std::io;
use std::net::SocketAddr;

/// Looks names up, once per connection, and hands on only what the policy allows.
pub(super) struct Resolver<L> {
    policy: AddressPolicy,
    look_up: L,
    /// One forbidden address is enough to refuse a name.
    strict: bool,
}

impl<L> Resolver<L> {
    /// Names are looked up by `look_up`.
    pub(super) fn new(policy: AddressPolicy, look_up: L) -> Self {
        Self { policy, look_up, strict: false }
    }

    /// Refuses a name with any address that is not allowed: where somebody else connects, he may take just that one.
    pub(super) fn strict(self) -> Self {
        Self { strict: true, ..self }
    }

    /// What is allowed.
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
