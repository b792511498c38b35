//! Which addresses may be called: public ones, and the networks that the operator allows.
//!
//! Customers choose their endpoints, and the daemon runs inside the operator's network. Without a policy, a customer
//! could make it call hosts that only this network can reach, such as a cloud's metadata service. The forbidden ranges
//! are those of IANA's special-purpose registries that are not globally reachable, and a few public ones that never
//! hold an endpoint.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// The address policy of `[delivery]`: allows public addresses, and the networks of `allow_addresses`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    opened: Arc<[IpNet]>,
}

/// An address that the policy forbids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address policy forbids {address} ({range})")]
pub struct BlockedAddress {
    address: IpAddr,
    range: &'static str,
}

impl AddressPolicy {
    /// Allows public addresses and the networks of `opened`.
    #[must_use]
    pub fn new(opened: impl IntoIterator<Item = IpNet>) -> Self {
        Self { opened: opened.into_iter().map(canonical).collect() }
    }

    /// Checks that `address` may be called.
    ///
    /// # Errors
    /// The address is forbidden.
    pub fn check(&self, address: IpAddr) -> Result<(), BlockedAddress> {
        // For a mapped address, the system connects to the IPv4 address in it.
        let address = address.to_canonical();
        match forbidden(address) {
            Some(range) if !self.opened.iter().any(|network| network.contains(&address)) => {
                Err(BlockedAddress { address, range })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns those of a name's `addresses` that may be called.
    ///
    /// # Errors
    /// None of them may be called.
    pub(super) fn allowed(
        &self,
        addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, BlockedAddress> {
        let mut blocked = None;
        let mut allowed = Vec::with_capacity(addresses.len());
        for address in addresses {
            match self.check(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(error) => blocked = blocked.or(Some(error)),
            }
        }
        match blocked {
            Some(error) if allowed.is_empty() => Err(error),
            Some(_) | None => Ok(allowed),
        }
    }
}

/// Converts a network of mapped addresses to the IPv4 network that it maps.
fn canonical(network: IpNet) -> IpNet {
    let mapped = |network: Ipv6Net| {
        let address = network.addr().to_ipv4_mapped()?;
        Ipv4Net::new(address, network.prefix_len().checked_sub(96)?).ok()
    };
    match network {
        IpNet::V4(_) => network,
        IpNet::V6(inner) => mapped(inner).map_or(network, IpNet::V4),
    }
}

/// Returns the forbidden range that holds `address`, which must not be a mapped address.
fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            V4.iter().find(|(network, _)| network.contains(&address)).map(|(_, range)| *range)
        }
        IpAddr::V6(address) => match translated(address) {
            Some(embedded) => forbidden(embedded.into()),
            None => {
                let found = V6.iter().find(|(network, _)| network.contains(&address));
                let reserved = !GLOBAL_UNICAST.contains(&address);
                found.map(|(_, range)| *range).or(reserved.then_some("reserved"))
            }
        },
    }
}

/// Returns the IPv4 address that an IPv6-only network reaches through its NAT64 (RFC 6052).
///
/// This is the only embedding form that may pass, and only with a public address in it: on such a network every IPv4
/// endpoint has an address like this. Only an IPv6 network in `allow_addresses` opens a private one, since 10.0.0.1 is
/// another host for the translator than for this host. 6to4 and Teredo are refused whatever they embed: their relays no
/// longer exist (RFC 7526), and no endpoint uses them. The local NAT64 prefix (RFC 8215) is refused too: it does not
/// define where the IPv4 address is.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    NAT64.contains(&address).then(|| Ipv4Addr::new(a, b, c, d))
}

const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0], 96);

/// The IPv6 range from which addresses are assigned to hosts.
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0], 3);

/// The first range that contains an address gives its name.
const V4: &[(Ipv4Net, &str)] = &[
    (v4([0, 0, 0, 0], 8), "unspecified"),
    (v4([10, 0, 0, 0], 8), "private"),
    (v4([100, 64, 0, 0], 10), "shared"),
    (v4([127, 0, 0, 0], 8), "loopback"),
    // A public address that Azure uses for its own service: each of its hosts reads secrets there.
    (v4([168, 63, 129, 16], 32), "metadata"),
    (v4([169, 254, 169, 254], 32), "metadata"),
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([172, 16, 0, 0], 12), "private"),
    (v4([192, 0, 0, 0], 24), "protocol assignments"),
    (v4([192, 0, 2, 0], 24), "documentation"),
    (v4([192, 88, 99, 0], 24), "6to4 relays"),
    (v4([192, 168, 0, 0], 16), "private"),
    (v4([198, 18, 0, 0], 15), "benchmarks"),
    (v4([198, 51, 100, 0], 24), "documentation"),
    (v4([203, 0, 113, 0], 24), "documentation"),
    (v4([224, 0, 0, 0], 4), "multicast"),
    (v4([255, 255, 255, 255], 32), "broadcast"),
    (v4([240, 0, 0, 0], 4), "reserved"),
];

/// Like `V4`. An address in none of these ranges and not in [`GLOBAL_UNICAST`] is reserved.
const V6: &[(Ipv6Net, &str)] = &[
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "loopback"),
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), "unspecified"),
    (v6([0, 0, 0, 0], 96), "IPv4-compatible"),
    (v6([0x64, 0xff9b, 1, 0], 48), "local NAT64"),
    (v6([0x100, 0, 0, 0], 64), "discard"),
    (v6([0x2001, 0, 0, 0], 32), "Teredo"),
    (v6([0x2001, 2, 0, 0], 48), "benchmarks"),
    (v6([0x2001, 0x10, 0, 0], 28), "ORCHID"),
    (v6([0x2001, 0x20, 0, 0], 28), "ORCHID"),
    (v6([0x2001, 0, 0, 0], 23), "protocol assignments"),
    (v6([0x2001, 0xdb8, 0, 0], 32), "documentation"),
    (v6([0x2002, 0, 0, 0], 16), "6to4"),
    (v6([0x3fff, 0, 0, 0], 20), "documentation"),
    (v6([0xfc00, 0, 0, 0], 7), "unique-local"),
    (v6([0xfe80, 0, 0, 0], 10), "link-local"),
    (v6([0xfec0, 0, 0, 0], 10), "site-local"),
    (v6([0xff00, 0, 0, 0], 8), "multicast"),
];

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

/// Makes a network from its first four groups.
const fn v6([a, b, c, d]: [u16; 4], length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), length)
}

#[cfg(test)]
mod tests {
    use super::AddressPolicy;
    use std::net::{IpAddr, SocketAddr};

    fn policy(opened: &[&str]) -> AddressPolicy {
        AddressPolicy::new(opened.iter().map(|network| network.parse().unwrap()))
    }

    /// Returns the policy's error for `address`, or an empty text if it may be called.
    fn said(policy: &AddressPolicy, address: &str) -> String {
        let address: IpAddr = address.parse().unwrap();
        policy.check(address).err().map_or_else(String::new, |error| error.to_string())
    }

    /// The first and last address of each range.
    const FORBIDDEN: &[(&str, &str, &str)] = &[
        ("unspecified", "0.0.0.0", "0.255.255.255"),
        ("private", "10.0.0.0", "10.255.255.255"),
        ("private", "172.16.0.0", "172.31.255.255"),
        ("private", "192.168.0.0", "192.168.255.255"),
        ("shared", "100.64.0.0", "100.127.255.255"),
        ("loopback", "127.0.0.0", "127.255.255.255"),
        ("metadata", "168.63.129.16", "169.254.169.254"),
        ("link-local", "169.254.0.0", "169.254.255.255"),
        ("protocol assignments", "192.0.0.0", "192.0.0.255"),
        ("documentation", "192.0.2.0", "192.0.2.255"),
        ("documentation", "198.51.100.0", "198.51.100.255"),
        ("documentation", "203.0.113.0", "203.0.113.255"),
        ("6to4 relays", "192.88.99.0", "192.88.99.255"),
        ("benchmarks", "198.18.0.0", "198.19.255.255"),
        ("multicast", "224.0.0.0", "239.255.255.255"),
        ("reserved", "240.0.0.0", "255.255.255.254"),
        ("broadcast", "255.255.255.255", "255.255.255.255"),
        ("unspecified", "::", "::"),
        ("loopback", "::1", "::1"),
        ("IPv4-compatible", "::2", "::ffff:ffff"),
        ("IPv4-compatible", "::127.0.0.1", "::1.1.1.1"),
        ("reserved", "::1:0:0", "::fffe:ffff:ffff"),
        // Translated by stateless NAT (RFC 2765).
        ("reserved", "::ffff:0:127.0.0.1", "::ffff:0:1.1.1.1"),
        ("local NAT64", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
        ("reserved", "64:ff9b:0:0:0:1::", "64:ff9b:2::"),
        ("discard", "100::", "100::ffff:ffff:ffff:ffff"),
        ("reserved", "100:0:0:1::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("Teredo", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("benchmarks", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff"),
        ("ORCHID", "2001:10::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("protocol assignments", "2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("documentation", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("documentation", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
        // These embed 127.0.0.1 and a public address.
        ("6to4", "2002:7f00:1::1", "2002:101:101::1"),
        ("reserved", "4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("unique-local", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        // The metadata services of Amazon and Google.
        ("unique-local", "fd00:ec2::254", "fd20:ce::254"),
        ("reserved", "fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("link-local", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("site-local", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("multicast", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ];

    /// Addresses next to the ranges, and well-known hosts.
    const PUBLIC: &[&str] = &[
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.1.255",
        "192.0.3.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "2000::",
        "2001:200::",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db9::",
        "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2003::",
        "2606:4700:4700::1111",
        "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff:1000::",
    ];

    #[test]
    fn only_public_addresses_are_called() {
        for (range, first, last) in FORBIDDEN {
            for address in [first, last] {
                let said = said(&AddressPolicy::default(), address);
                assert!(said.ends_with(&format!("({range})")), "{address}: {said:?}");
            }
        }
        for address in PUBLIC {
            assert_eq!(said(&AddressPolicy::default(), address), "");
        }
    }

    #[test]
    fn an_embedded_ipv4_address_counts() {
        for (_, first, last) in FORBIDDEN.iter().filter(|(_, first, _)| !first.contains(':')) {
            for address in [first, last] {
                for form in ["::ffff:", "64:ff9b::"] {
                    let said = said(&AddressPolicy::default(), &format!("{form}{address}"));
                    assert!(said.starts_with("the address policy forbids "), "{form}{address}");
                }
            }
        }
        for form in ["::ffff:", "64:ff9b::"] {
            for address in PUBLIC.iter().filter(|address| !address.contains(':')) {
                assert_eq!(said(&AddressPolicy::default(), &format!("{form}{address}")), "");
            }
        }
        let named = said(&AddressPolicy::default(), "::ffff:10.1.2.3");
        assert_eq!(named, "the address policy forbids 10.1.2.3 (private)");
    }

    #[test]
    fn the_operator_opens_networks() {
        let opened = policy(&["127.0.0.0/8", "10.1.0.0/16", "::1/128", "fd00::/16"]);
        let open = ["127.0.0.1", "127.9.9.9", "10.1.255.255", "::1", "fd00::1", "::ffff:10.1.0.1"];
        for address in open {
            assert_eq!(said(&opened, address), "", "{address}");
        }
        let closed =
            ["10.0.255.255", "10.2.0.0", "::2", "fd01::", "::ffff:10.2.0.1", "192.168.0.1"];
        for address in closed {
            assert_ne!(said(&opened, address), "", "{address}");
        }
    }

    #[test]
    fn addresses_with_an_embedded_ipv4_address_are_opened_by_their_own_network() {
        // An IPv6 network opens no IPv4 address, whatever its size.
        for network in ["::/0", "::/80", "::ffff:0:0/95"] {
            assert_ne!(said(&policy(&[network]), "::ffff:127.0.0.1"), "", "{network}");
            assert_ne!(said(&policy(&[network]), "127.0.0.1"), "", "{network}");
        }
        // A mapped network means the IPv4 network.
        for address in ["127.0.0.1", "::ffff:127.0.0.1"] {
            assert_eq!(said(&policy(&["::ffff:127.0.0.0/104"]), address), "");
            assert_ne!(said(&policy(&["::ffff:128.0.0.0/104"]), address), "");
        }
        // A translator or a tunnel may map an address to another host than this host does.
        let loopback = policy(&["127.0.0.0/8"]);
        for address in ["64:ff9b::127.0.0.1", "::127.0.0.1", "2002:7f00:1::"] {
            assert_ne!(said(&loopback, address), "", "{address}");
        }
        assert_eq!(said(&policy(&["64:ff9b::/96"]), "64:ff9b::127.0.0.1"), "");
        assert_eq!(said(&policy(&["2002::/16"]), "2002:7f00:1::"), "");
    }

    #[test]
    fn only_the_allowed_addresses_of_a_name_are_used() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 443)).collect()
        };
        let policy = policy(&["10.0.0.0/8"]);
        let mixed = addresses(&["127.0.0.1", "1.1.1.1", "::1", "10.0.0.1", "2606:4700::1"]);
        let left = policy.allowed(mixed).unwrap();
        assert_eq!(left, addresses(&["1.1.1.1", "10.0.0.1", "2606:4700::1"]));
        let error = policy.allowed(addresses(&["127.0.0.1", "::1"])).unwrap_err();
        assert_eq!(error.to_string(), "the address policy forbids 127.0.0.1 (loopback)");
        assert_eq!(policy.allowed(Vec::new()).unwrap(), []);
    }
}
