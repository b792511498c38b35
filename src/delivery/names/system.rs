//! The system's name configuration: `/etc/hosts` and `/etc/resolv.conf`, read again when they change.
//!
//! Other sources of the C library are not used (those of `/etc/nsswitch.conf`: mDNS, NIS, systemd's own names). Of its
//! options, only `ndots`, `timeout`, `attempts` and `edns0` apply. A name server that does not answer is asked again
//! sooner than by the C library.

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::DnsExchange;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{ConnectionProvider, Hosts, PoolContext, Resolver};
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, SystemTime};

/// The default name server, if neither the configuration nor the file names one.
const OWN_SERVER: &str = "nameserver 127.0.0.1\n";
/// The longest time to wait for an answer, so that a lost datagram is sent again within the usual `connect_timeout_ms`.
const ANSWER_MAX: Duration = Duration::from_millis(2500);
const ATTEMPTS_MIN: usize = 2;

/// The paths of the system's files.
pub(super) struct Files {
    pub(super) hosts: PathBuf,
    pub(super) resolv_conf: PathBuf,
}

impl Default for Files {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into() }
    }
}

/// The content of the system's files.
pub(super) struct System {
    changed: [Option<SystemTime>; 2],
    /// Asks all name servers.
    all: Resolver<Sockets>,
    /// Ask one name server each. Empty if there is only one.
    each: Vec<Resolver<Sockets>>,
    hosts: Hosts,
    search: Vec<Name>,
    ndots: usize,
}

impl System {
    /// Reads the files. `name_servers`, unless empty, replace the system's name servers.
    pub(super) fn read(files: &Files, name_servers: &[SocketAddr]) -> io::Result<Self> {
        let changed = files.changed();
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(file(&files.hosts)?.as_slice())?;
        let (config, options) = parse(&file(&files.resolv_conf)?)?;
        let (_, search, own) = config.into_parts();
        let servers = if name_servers.is_empty() {
            own
        } else {
            name_servers.iter().map(|address| server(*address)).collect()
        };
        let ndots = options.ndots;
        let each = match servers.as_slice() {
            [_, _, ..] => servers.iter().map(|one| resolver(vec![one.clone()], &options)).collect(),
            [] | [_] => Ok(Vec::new()),
        };
        Ok(Self { changed, all: resolver(servers, &options)?, each: each?, hosts, search, ndots })
    }

    /// Returns whether the files are unchanged since they were read.
    pub(super) fn is_current(&self, files: &Files) -> bool {
        self.changed == files.changed()
    }

    /// Returns the first answer. If it is an error code, asks the name servers one by one.
    pub(super) async fn look_up(&self, name: &Name, kind: RecordType) -> Result<Lookup, NetError> {
        let mut answer = self.all.lookup(name.clone(), kind).await;
        for one in &self.each {
            if !matches!(answer, Err(NetError::Dns(DnsError::ResponseCode(_)))) {
                break;
            }
            answer = one.lookup(name.clone(), kind).await;
        }
        answer
    }

    /// Returns the addresses of `name` in the hosts file.
    pub(super) fn in_hosts(&self, name: &Name) -> Vec<IpAddr> {
        let kinds = [RecordType::AAAA, RecordType::A];
        let lines = kinds.map(|kind| Query::query(name.clone(), kind));
        let lines = lines.iter().filter_map(|query| self.hosts.lookup_static_host(query));
        let addresses = lines.map(|found| {
            let addresses = found.answers().iter().filter_map(|record| record.data.ip_addr());
            addresses.collect::<Vec<_>>()
        });
        addresses.flatten().collect()
    }

    /// Returns the full names to try for `name`, in this order, by the search domains and `ndots`.
    pub(super) fn candidates(&self, name: &Name) -> Vec<Name> {
        let mut itself = name.clone();
        itself.set_fqdn(true);
        if name.is_fqdn() || name.is_localhost() {
            return vec![itself];
        }
        let searched = self.search.iter().filter_map(|domain| {
            let mut full = name.clone().append_domain(domain).ok()?;
            full.set_fqdn(true);
            Some(full)
        });
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let mut candidates: Vec<Name> = searched.collect();
        if dots >= self.ndots {
            candidates.insert(0, itself);
        } else {
            candidates.push(itself);
        }
        candidates
    }
}

impl Files {
    fn changed(&self) -> [Option<SystemTime>; 2] {
        [&self.hosts, &self.resolv_conf]
            .map(|path| std::fs::metadata(path).and_then(|it| it.modified()).ok())
    }
}

/// Parses `resolv_conf` and ignores invalid lines, like the C library.
fn parse(resolv_conf: &[u8]) -> io::Result<(ResolverConfig, ResolverOpts)> {
    let text = String::from_utf8_lossy(resolv_conf);
    let is_search = |line: &&str| line.starts_with("search") || line.starts_with("domain");
    let without_search: Vec<_> = text.lines().filter(|line| !is_search(line)).collect();
    let without_search = without_search.join("\n");
    let versions = [
        text.to_string(),
        format!("{text}\n{OWN_SERVER}"),
        without_search.clone(),
        format!("{without_search}\n{OWN_SERVER}"),
    ];
    let parsed = versions.iter().find_map(|version| parse_resolv_conf(version).ok());
    parsed.map_or_else(|| parse_resolv_conf(OWN_SERVER).map_err(io::Error::other), Ok)
}

fn resolver(
    servers: Vec<NameServerConfig>,
    options: &ResolverOpts,
) -> io::Result<Resolver<Sockets>> {
    let mut options = options.clone();
    options.timeout = options.timeout.min(ANSWER_MAX);
    options.attempts = options.attempts.max(ATTEMPTS_MIN);
    // `Names` keeps answers, both kinds of addresses together.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let sockets = Sockets(TokioRuntimeProvider::new());
    let builder = Resolver::builder_with_config(config, sockets).with_options(options);
    builder.build().map_err(io::Error::other)
}

/// Reads a file. A missing file counts as empty.
fn file(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

/// Creates the library's sockets. Each datagram has a separate socket, and is not sent again while its answer is
/// awaited.
#[derive(Clone)]
pub(super) struct Sockets(TokioRuntimeProvider);

type Exchange = DnsExchange<TokioRuntimeProvider>;

impl ConnectionProvider for Sockets {
    type Conn = Exchange;
    type FutureConn = Pin<Box<dyn Future<Output = Result<Exchange, NetError>> + Send>>;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        context: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let server = SocketAddr::new(ip, config.port);
        let provider = self.0.clone();
        let time = context.options.timeout;
        if !matches!(config.protocol, ProtocolConfig::Udp) {
            return self.0.new_connection(ip, config, context);
        }
        let stream = UdpClientStream::builder(server, provider);
        let stream = stream.with_timeout(Some(time)).with_max_retries(1);
        Ok(Box::pin(async move { Ok(stream.exchange()) }))
    }

    fn runtime_provider(&self) -> &Self::RuntimeProvider {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Files, System, parse};
    use hickory_resolver::proto::rr::Name;

    #[test]
    fn invalid_lines_of_the_file_do_not_hide_the_name_servers() {
        for (text, servers) in [
            ("nameserver 192.0.2.53", &["192.0.2.53"][..]),
            ("search a..b\nnameserver 192.0.2.53\nnameserver ::1\n", &["192.0.2.53", "::1"]),
            ("nonsense\nnameserver x\noptions ndots:x\nnameserver 192.0.2.53", &["192.0.2.53"]),
            ("search one.test", &["127.0.0.1"]),
            ("", &["127.0.0.1"]),
            ("\u{0}", &["127.0.0.1"]),
        ] {
            let (config, _) = parse(text.as_bytes()).unwrap();
            let found: Vec<_> =
                config.name_servers().iter().map(|one| one.ip.to_string()).collect();
            assert_eq!(found, servers, "{text:?}");
        }
    }

    #[test]
    fn a_short_name_is_tried_with_the_search_domains_first() {
        let mut system = System::read(&Files::default(), &[]).unwrap();
        system.search = ["a.test", "b.test"].map(|name| Name::from_ascii(name).unwrap()).to_vec();
        for (ndots, name, tried) in [
            (1, "db", &["db.a.test.", "db.b.test.", "db."][..]),
            (1, "db.c", &["db.c.", "db.c.a.test.", "db.c.b.test."]),
            (5, "db.c", &["db.c.a.test.", "db.c.b.test.", "db.c."]),
            (5, "db.c.", &["db.c."]),
            (1, "localhost", &["localhost."]),
        ] {
            system.ndots = ndots;
            let candidates = system.candidates(&Name::from_ascii(name).unwrap());
            let candidates: Vec<_> = candidates.iter().map(ToString::to_string).collect();
            assert_eq!(candidates, tried, "{name} with ndots:{ndots}");
        }
    }
}
