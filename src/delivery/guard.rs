//! What the address policy says of a URL before anything is sent to it.

use super::address::{AddressPolicy, BlockedAddress};
use super::answer::{self, NoAnswer};
use super::shortage::Shortage;
use reqwest::Url;
use reqwest::dns::{Name, Resolve};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A URL as the policy sees it.
pub(super) struct Guard {
    /// The URL's own address, where it names one that is not allowed.
    blocked: Option<BlockedAddress>,
    /// The URL's name and who knows its addresses, where a proxy will look it up once more.
    proxied: Option<(Name, Arc<dyn Resolve>)>,
}

impl Guard {
    /// The guard of `url`. `behind_proxy`: who looks names up that a proxy is told.
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

    /// Why every attempt is given up before anything is sent, if so.
    pub(super) fn blocked(&self) -> Option<&BlockedAddress> {
        self.blocked.as_ref()
    }

    /// What the policy says of the address, or of the name that a proxy is about to be told. A name that can't be looked up
    /// here may be known to the proxy alone, as where only it may ask the DNS; but one that could not be asked for at all may
    /// be forbidden.
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

/// The address in `url`: the client connects to it without asking the resolver. However it was spelt (decimal, octal,
/// shortened), a parsed URL has it in the usual form.
fn literal_address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}
