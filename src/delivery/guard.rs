//! Applies the address policy to a URL before anything is sent to it.

use super::address::{AddressPolicy, BlockedAddress};
use super::answer::{self, NoAnswer};
use super::shortage::Shortage;
use reqwest::Url;
use reqwest::dns::{Name, Resolve};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A URL with its result under the policy.
pub(super) struct Guard {
    /// The forbidden address in the URL, if it contains one.
    blocked: Option<BlockedAddress>,
    /// The name in the URL and its resolver, if a proxy will resolve the name again.
    proxied: Option<(Name, Arc<dyn Resolve>)>,
}

impl Guard {
    /// Makes the guard of `url`. `behind_proxy` resolves names that are sent to a proxy.
    pub(super) fn of(
        url: &Url,
        policy: &AddressPolicy,
        behind_proxy: Option<&Arc<dyn Resolve>>,
    ) -> Self {
        let literal = literal_address(url);
        let blocked = literal.and_then(|address| policy.check(address).err());
        let name = url.host_str().filter(|_| literal.is_none());
        let name = name.and_then(|host| host.parse::<Name>().ok());
        Self { blocked, proxied: name.zip(behind_proxy.cloned()) }
    }

    /// Returns the forbidden address that makes every attempt fail before anything is sent, if there is one.
    pub(super) fn blocked(&self) -> Option<&BlockedAddress> {
        self.blocked.as_ref()
    }

    /// Checks the address in the URL, or the name that is about to be sent to a proxy. A name that can't be resolved
    /// here passes, because only the proxy may have access to the DNS. A name that could not be asked for at all does
    /// not pass: it may be forbidden.
    pub(super) async fn check(&self, connect_timeout: Duration) -> Result<(), NoAnswer> {
        if let Some(blocked) = &self.blocked {
            return Err(answer::refused(blocked).into());
        }
        let Some((name, resolver)) = &self.proxied else { return Ok(()) };
        let Ok(name) = name.as_str().parse::<Name>() else { return Ok(()) };
        let Ok(Err(error)) = timeout(connect_timeout, resolver.resolve(name)).await else {
            return Ok(());
        };
        if let Some(shortage) = Shortage::of(&*error) {
            return Err(NoAnswer::Short(shortage));
        }
        match error.downcast_ref() {
            Some(blocked) => Err(answer::refused(blocked).into()),
            None => Ok(()),
        }
    }
}

/// Returns the address in `url`, to which the client connects without asking the resolver. Whatever its notation
/// (decimal, octal, shortened), a parsed URL has it in the usual form.
fn literal_address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}
