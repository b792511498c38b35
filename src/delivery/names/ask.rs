//! Resolves one name: from the hosts file, then from the name servers, like the C library.

use super::system::{Files, System};
use super::{Answer, Failure};
use crate::delivery::route::is_reachable;
use crate::delivery::shortage::Shortage;
use crate::system as process;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RecordType};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long to wait for the other family of addresses once one family has arrived.
const OTHER_KIND: Duration = Duration::from_millis(200);
/// Any port: routes do not depend on it.
const ANY_PORT: u16 = 443;

/// Resolves names with the system's current files.
pub(super) struct Asker {
    files: Files,
    name_servers: Vec<SocketAddr>,
    system: Mutex<Option<Arc<System>>>,
}

/// Addresses of one family, IPv4 or IPv6, or of both.
struct AddressSet {
    addresses: Vec<IpAddr>,
    ttl: Duration,
}

impl Asker {
    pub(super) fn new(name_servers: &[SocketAddr]) -> Self {
        Self::reading(Files::default(), name_servers)
    }

    pub(super) fn reading(files: Files, name_servers: &[SocketAddr]) -> Self {
        Self { files, name_servers: name_servers.to_vec(), system: Mutex::default() }
    }

    pub(super) async fn ask(&self, name: &str) -> Answer {
        let asked = match self.system() {
            Ok(system) => find(&system, name).await,
            Err(error) => Err(Failure::of(&error)),
        };
        match asked.map_err(blame) {
            Ok(AddressSet { addresses, ttl }) if addresses.is_empty() => {
                Answer { found: Err(blame(Failure::Missing)), ttl }
            }
            Ok(AddressSet { addresses, ttl }) => {
                Answer { found: Ok(ordered(addresses).into()), ttl }
            }
            Err(failure) => Answer { found: Err(failure), ttl: Duration::ZERO },
        }
    }

    /// Returns the system's files, read again if they have changed.
    fn system(&self) -> io::Result<Arc<System>> {
        let mut known = self.system.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some(system) if system.is_current(&self.files) => Ok(system.clone()),
            Some(_) | None => {
                let system = Arc::new(System::read(&self.files, &self.name_servers)?);
                *known = Some(system.clone());
                Ok(system)
            }
        }
    }
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        match Shortage::of(error) {
            Some(shortage) => Self::Short(shortage),
            None => Self::Refused(error.to_string().into()),
        }
    }
}

/// Turns a failure into a shortage if open files are short. The library does not always report why it could not ask:
/// without a descriptor for a socket, it may report a time-out.
fn blame(failure: Failure) -> Failure {
    match failure {
        Failure::Missing | Failure::Late | Failure::Refused(_) if process::is_short_of_files() => {
            Failure::Short(Shortage::OpenFiles)
        }
        Failure::Missing | Failure::Late | Failure::Refused(_) | Failure::Short(_) => failure,
    }
}

/// Returns the addresses of the first candidate of `name` that has any.
async fn find(system: &System, name: &str) -> Result<AddressSet, Failure> {
    let Ok(name) = Name::from_ascii(name) else { return Ok(AddressSet::none()) };
    let addresses = system.in_hosts(&name);
    if !addresses.is_empty() {
        return Ok(AddressSet { addresses, ttl: Duration::MAX });
    }
    let mut missing = AddressSet::none();
    let mut refused = None;
    for candidate in system.candidates(&name) {
        match both_families(system, &candidate).await {
            Ok(set) if set.addresses.is_empty() => missing = set,
            Ok(set) => return Ok(set),
            Err(failure @ Failure::Refused(_)) => refused = Some(failure),
            Err(failure) => return Err(failure),
        }
    }
    refused.map_or(Ok(missing), Err)
}

/// Asks for IPv4 and IPv6 at the same time. Neither delays the other for long.
async fn both_families(system: &System, name: &Name) -> Result<AddressSet, Failure> {
    let v4 = pin!(one_family(system, name, RecordType::A));
    let v6 = pin!(one_family(system, name, RecordType::AAAA));
    let mut v4 = v4;
    let mut v6 = v6;
    tokio::select! {
        first = &mut v4 => with_other(first, v6).await,
        first = &mut v6 => with_other(first, v4).await,
    }
}

async fn with_other(
    first: Result<AddressSet, Failure>,
    other: impl Future<Output = Result<AddressSet, Failure>>,
) -> Result<AddressSet, Failure> {
    let first = match first {
        Ok(first) if !first.addresses.is_empty() => first,
        first => {
            return match (first, other.await) {
                (_, Ok(other)) if !other.addresses.is_empty() => Ok(other),
                (Err(failure), _) | (Ok(_), Err(failure)) => Err(failure),
                (Ok(first), Ok(other)) => Ok(first.with(other)),
            };
        }
    };
    match timeout(OTHER_KIND, other).await {
        Ok(Ok(other)) if other.addresses.is_empty() => Ok(first),
        Ok(Ok(other)) => Ok(first.with(other)),
        // The incomplete answer is kept only briefly, so that the missing family is asked for again soon.
        Ok(Err(_)) | Err(_) => {
            Ok(AddressSet { ttl: first.ttl.min(super::MISSING_KEPT_MAX), ..first })
        }
    }
}

async fn one_family(
    system: &System,
    name: &Name,
    family: RecordType,
) -> Result<AddressSet, Failure> {
    match system.look_up(name, family).await {
        Ok(found) => Ok(AddressSet {
            addresses: found.answers().iter().filter_map(|record| record.data.ip_addr()).collect(),
            ttl: found.valid_until().saturating_duration_since(Instant::now()),
        }),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => {
            // A negative answer without a TTL is not kept (RFC 2308).
            let ttl = Duration::from_secs(none.negative_ttl.unwrap_or(0).into());
            Ok(AddressSet { addresses: Vec::new(), ttl })
        }
        Err(NetError::Timeout) => Err(Failure::Late),
        Err(NetError::Io(error)) => Err(Failure::of(&error)),
        Err(error) => Err(Failure::Refused(error.to_string().into())),
    }
}

impl AddressSet {
    fn none() -> Self {
        Self { addresses: Vec::new(), ttl: Duration::ZERO }
    }

    fn with(mut self, other: Self) -> Self {
        self.addresses.extend(other.addresses);
        self.ttl = self.ttl.min(other.ttl);
        self
    }
}

/// Sorts IPv6 first if this host has a route to one of the IPv6 addresses, and last otherwise. The client tries the
/// family of the first address first.
fn ordered(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut v6 = addresses.iter().filter(|address| address.is_ipv6());
    let has_v6 = v6.any(|address| is_reachable(SocketAddr::new(*address, ANY_PORT)));
    addresses.sort_by_key(|address| address.is_ipv6() != has_v6);
    addresses
}
