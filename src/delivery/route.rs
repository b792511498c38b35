//! Finds out whether this host has an address from which it can call another one.
//!
//! The system reports EADDRNOTAVAIL for two cases. All local ports to an address are in use: this passes. Or no local
//! address can reach it, as with IPv6 on a host without IPv6: this is a fault of the endpoint or the network, and must
//! not be retried for ever. A datagram socket shows the difference: connecting it needs a route and an address, but
//! hardly ever lacks a port.

use reqwest::Url;
use reqwest::dns::{Name, Resolve};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

/// The hosts that an endpoint's connections go to.
pub(super) struct Destinations {
    hosts: Vec<(String, u16)>,
    resolver: Arc<dyn Resolve>,
}

impl Destinations {
    /// Collects the hosts of `urls`, whose names `resolver` resolves.
    pub(super) fn new<'a>(
        urls: impl IntoIterator<Item = &'a Url>,
        resolver: Arc<dyn Resolve>,
    ) -> Self {
        let host = |url: &Url| {
            let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
            Some((host, url.port_or_known_default()?))
        };
        Self { hosts: urls.into_iter().filter_map(host).collect(), resolver }
    }

    /// Returns whether every address of the hosts is reachable. An unknown one counts as reachable.
    pub(super) async fn are_reachable(&self) -> bool {
        for (host, port) in &self.hosts {
            for address in self.addresses(host).await {
                if !is_reachable(SocketAddr::new(address, *port)) {
                    return false;
                }
            }
        }
        true
    }

    async fn addresses(&self, host: &str) -> Vec<IpAddr> {
        if let Ok(address) = host.parse() {
            return vec![address];
        }
        let Ok(name) = host.parse::<Name>() else { return Vec::new() };
        let found = self.resolver.resolve(name).await;
        found.map_or_else(|_| Vec::new(), |found| found.map(|address| address.ip()).collect())
    }
}

/// Returns whether this host has a route to `address`. Sends nothing.
pub(super) fn is_reachable(address: SocketAddr) -> bool {
    let own: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let connected = UdpSocket::bind((own, 0)).and_then(|socket| socket.connect(address));
    let refused = connected.err().map(|error| error.kind());
    !matches!(
        refused,
        Some(
            ErrorKind::AddrNotAvailable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::HostUnreachable
                | ErrorKind::Unsupported
        )
    )
}
