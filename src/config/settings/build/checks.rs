//! Checks of `ringback.toml` that its schema can't express.

use crate::delivery::{Proxy, Secret};
use crate::document::{Context, Place};
use crate::log::TopicNames;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

const DNS_PORT: u16 = 53;
/// The longest name that Kafka allows for a topic.
const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Checks that each server is `host` or `host:port`.
pub(super) fn bootstrap_servers(servers: &str, place: &Place<'_>, context: &mut Context<'_>) {
    let good = servers.split(',').all(|server| {
        let server = server.trim();
        // The port follows the last colon outside of an IPv6 address's brackets.
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            Some(_) | None => (server, None),
        };
        let port_good = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        port_good && !host.is_empty() && !host.contains(char::is_whitespace)
    });
    if !good {
        context.fault(
            &place.key("bootstrap_servers"),
            "is not a list of servers",
            "write host:port, comma separated",
        );
    }
}

/// Checks that Kafka accepts the names, and that no two roles share one.
pub(super) fn topics(names: &TopicNames, place: &Place<'_>, context: &mut Context<'_>) {
    let one = |key: &'static str, name| (key, vec![name]);
    let many = |key: &'static str, names: &'_ [String]| (key, names.to_vec());
    let roles = [
        many("flow_complete", &names.flow_complete),
        many("delivery_report", &names.delivery_report),
        many("flow_started", &names.flow_started),
        one("events", names.events.clone()),
        one("dead_letter", names.dead_letter.clone()),
        one("changelog", names.changelog.clone()),
        one("inbox", names.inbox.clone()),
    ];
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (key, names) in roles {
        let place = place.key(key);
        for name in names {
            if !is_topic_name(&name) {
                context.fault(
                    &place,
                    "is not a topic's name",
                    "use 1 to 249 letters, digits, dots, hyphens and underscores",
                );
                continue;
            }
            match seen.insert(name.clone(), key) {
                None => {}
                Some(other) if other == key => {
                    context.fault(&place, format!("lists `{name}` twice"), "list it once");
                }
                Some(other) => {
                    let problem = format!("`{name}` is the topic of `{other}` too");
                    context.fault(&place, problem, "give each role a topic of its own");
                }
            }
        }
    }
}

fn is_topic_name(name: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !matches!(name, "" | "." | "..")
        && name.len() <= TOPIC_NAME_BYTES_MAX
        && name.bytes().all(letters)
}

/// Parses the address of a registry.
pub(super) fn registry_url(
    text: &str,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<reqwest::Url> {
    service_url(text, "http://127.0.0.1:8081", "`username` and `password`", place, context)
}

/// Parses the address of a service that the daemon uses. `example` is one. `credentials` are the keys that may contain
/// credentials.
pub(super) fn service_url(
    text: &str,
    example: &str,
    credentials: &str,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<reqwest::Url> {
    let example = format!("write it as in \"{example}\"");
    let url = match reqwest::Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            context.fault(place, format!("is not a URL: {error}"), example);
            return None;
        }
    };
    if !matches!(url.scheme(), "http" | "https") {
        context.fault(place, "is neither http nor https", example);
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        context.fault(
            place,
            "holds credentials, which would show in logs",
            format!("move them to {credentials}"),
        );
        return None;
    }
    if url.query().is_some() || url.fragment().is_some() {
        let fix = "remove `?` or `#` and what follows it";
        context.fault(place, "has a query or a fragment, which no request carries", fix);
        return None;
    }
    Some(url)
}

/// Parses an address to listen on. `example` is one.
pub(super) fn listen(
    text: &str,
    example: &str,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<SocketAddr> {
    let parsed = text.parse();
    if parsed.is_err() {
        let port = example.rsplit(':').next().unwrap_or_default();
        let fix = format!("write them as in \"{example}\" or \"[::]:{port}\"");
        context.fault(place, "is not an address and a port", fix);
    }
    parsed.ok()
}

/// Checks that an address that other hosts can reach is guarded by a token.
pub(super) fn guarded(
    listen: SocketAddr,
    has_token: bool,
    place: &Place<'_>,
    context: &mut Context<'_>,
) {
    if !listen.ip().to_canonical().is_loopback() && !has_token {
        let ip = listen.ip();
        context.fault(
            place,
            format!("{ip} can be reached from other hosts, and there is no `http.token`"),
            "set token = { env = \"NAME\" } under [http], or listen on 127.0.0.1",
        );
    }
}

/// Checks that a header can carry the token.
pub(super) fn token(token: &Secret, place: &Place<'_>, context: &mut Context<'_>) {
    let text = token.reveal();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        context.fault(
            place,
            "is empty, or has spaces or letters beyond ASCII",
            "make one, for example with `openssl rand -hex 32`",
        );
    }
}

/// Parses a proxy. Its fault does not quote the text, which may contain a password.
pub(super) fn proxy(text: &Secret, place: &Place<'_>, context: &mut Context<'_>) -> Option<Proxy> {
    match Proxy::parse(text.reveal()) {
        Ok(proxy) => Some(proxy),
        Err(error) => {
            // The error ends with the fix.
            let text = error.to_string();
            let (problem, fix) = text.split_once(": ").unwrap_or((&text, ""));
            context.fault(place, problem, fix);
            None
        }
    }
}

/// Parses a name server's address. The default port is 53.
pub(super) fn name_server(
    text: &str,
    place: &Place<'_>,
    context: &mut Context<'_>,
) -> Option<SocketAddr> {
    let address = text.parse().or_else(|_| text.parse().map(|ip| SocketAddr::new(ip, DNS_PORT)));
    if address.is_err() {
        context.fault(
            place,
            "is not an address",
            "write one as in \"10.0.0.2\", \"10.0.0.2:53\" or \"[fd00::2]:53\"",
        );
    }
    address.ok()
}

/// Parses a network, whose address must have no bits behind the prefix's length.
pub(super) fn cidr(text: &str, place: &Place<'_>, context: &mut Context<'_>) -> Option<IpNet> {
    let example = "write a network as in \"10.0.0.0/8\" or \"fd00::/8\"";
    let Some((address, length)) = text.split_once('/') else {
        let fix = match text.parse::<IpAddr>() {
            Ok(address) => format!("write \"{}\"", IpNet::from(address)),
            Err(_) => example.to_owned(),
        };
        context.fault(place, "has no prefix length", fix);
        return None;
    };
    let (Ok(address), Ok(length)) = (address.parse::<IpAddr>(), length.parse::<u8>()) else {
        context.fault(place, "is not a network", example);
        return None;
    };
    let Ok(network) = IpNet::new(address, length) else {
        context.fault(place, format!("/{length} is longer than an address"), example);
        return None;
    };
    if network != network.trunc() {
        let fix = format!("write \"{}\"", network.trunc());
        context.fault(place, format!("has bits behind its first {length}"), fix);
        return None;
    }
    Some(network)
}
