//! Headers of endpoints, IP addresses, signing secrets and proxies.

use super::seen;
use crate::target::{Seen, Target};
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use ringback::definition::BodySecrets;
use ringback::delivery::{AddressPolicy, Proxy, SignedText, SigningSecret, retry_after_ms, sign};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, UNIX_EPOCH};

pub(super) const RETRY: Target = Target {
    name: "retry-after",
    run: |input| {
        let Ok(value) = HeaderValue::from_bytes(input) else { return seen(()) };
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let asked = retry_after_ms(StatusCode::TOO_MANY_REQUESTS, &headers, now);
        assert_eq!(retry_after_ms(StatusCode::OK, &headers, now), None);
        seen(asked)
    },
    seeds: || {
        [
            "120",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "0.7",
            "1m30s",
            "1700000005123",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    },
    words: &[
        "Sun, ",
        " GMT",
        " UTC ",
        "+0100",
        "ms",
        ".",
        "Dec",
        "9999",
        "0000",
        "23:59:60",
        "18446744073709551615",
    ],
    bytes_per_byte: 8,
};

pub(super) const ADDRESS: Target = Target {
    name: "address",
    run: address,
    seeds: || {
        [
            "127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "1.1.1.1",
            "2606:4700::1111",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    },
    words: &[
        "::",
        "ffff:",
        "64:ff9b::",
        "2002:",
        "2001:",
        "127.",
        "169.254.169.254",
        "fe80:",
        "fc00:",
        "192.168.",
    ],
    bytes_per_byte: 8,
};

pub(super) const SECRET: Target = Target {
    name: "secret",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let secret = SigningSecret::parse(&text);
        let shown = match &secret {
            Ok(secret) => {
                let signature = sign(std::slice::from_ref(secret), "msg_1", "1", b"{}");
                assert_eq!(signature, sign(std::slice::from_ref(secret), "msg_1", "1", b"{}"));
                format!("{secret:?} {signature}")
            }
            Err(error) => error.to_string(),
        };
        // A shorter text may be part of the message by chance.
        assert!(text.len() < 40 || !shown.contains(&*text), "no secret is quoted");
        seen(shown)
    },
    seeds: || {
        [
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "whsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "whpk_AAAA",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    },
    words: &["whsec_", "whsk_", "whpk_", "=", "==", "AAAA", "-", "_", "/", "+"],
    bytes_per_byte: 16,
};

pub(super) const SIGNED_TEXT: Target = Target {
    name: "signed-text",
    run: |input| seen(SignedText::parse(&String::from_utf8_lossy(input))),
    seeds: || {
        vec![b"{timestamp}.{body}".to_vec(), b"v0:{id}:{body}".to_vec(), b"t={tim}}".to_vec()]
    },
    words: &["{body}", "{timestamp}", "{id}", "{", "}"],
    bytes_per_byte: 256,
};

pub(super) const BODY_SECRETS: Target = Target {
    name: "body-secrets",
    run: |input| {
        let mut secrets = BodySecrets::default();
        secrets.add("a", "hush");
        seen(secrets.filled(&Bytes::copy_from_slice(input)))
    },
    seeds: || {
        let body = r#"{"method":"m","keys":[{"name":"a","value":"***secret***"},{"name":"b","value":"***secret***"}]}"#;
        vec![body.into()]
    },
    words: &[
        "{\"method\":",
        ",\"keys\":[",
        "{\"name\":\"a\",\"value\":\"***secret***\"}",
        ",",
        "]}",
    ],
    bytes_per_byte: 1024,
};

pub(super) const PROXY: Target = Target {
    name: "proxy",
    run: |input| {
        let proxy = Proxy::parse(&String::from_utf8_lossy(input));
        if let Ok(proxy) = &proxy {
            assert!(proxy.shown().starts_with("http://") && !proxy.shown().contains('@'));
            assert_eq!(format!("{proxy:?}"), proxy.shown());
        }
        seen(proxy)
    },
    seeds: || vec![b"http://user:hu%40sh@proxy.example:3128/".to_vec(), b"http://[::1]:1".to_vec()],
    words: super::config::URL_WORDS,
    bytes_per_byte: 64,
};

/// Returns whether the standard library knows that the address belongs to no public host.
fn special(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || first == 0
        || first >= 240
        || (first == 100 && second & 0xc0 == 64)
        || (first == 198 && second & 0xfe == 18)
}

fn address(input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input);
    let parsed = match (text.parse::<IpAddr>(), <[u8; 16]>::try_from(input)) {
        (Ok(address), _) => address,
        (Err(_), Ok(octets)) => IpAddr::V6(Ipv6Addr::from(octets)),
        (Err(_), Err(_)) => return seen(()),
    };
    let policy = AddressPolicy::default();
    let answer = policy.check(parsed);
    match parsed {
        IpAddr::V4(address) => {
            assert!(!special(address) || answer.is_err(), "{address} may be called");
            let mapped = policy.check(address.to_ipv6_mapped().into());
            assert_eq!(mapped.is_err(), answer.is_err(), "{address} and its mapped form");
            let [a, b, c, d] = address.octets().map(u16::from);
            let translated = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a << 8 | b, c << 8 | d);
            assert_eq!(policy.check(translated.into()).is_err(), answer.is_err(), "{translated}");
        }
        IpAddr::V6(address) => {
            let inner = address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local();
            assert!(!inner || answer.is_err(), "{address} may be called");
            let embedded = address.to_ipv4();
            assert!(
                embedded.is_none_or(|v4| !special(v4)) || answer.is_err(),
                "{address} may be called"
            );
        }
    }
    let open = AddressPolicy::new([ipnet::IpNet::from(parsed.to_canonical())]);
    let translated = matches!(parsed, IpAddr::V6(address) if address.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0]);
    assert!(open.check(parsed).is_ok() || translated, "an allowed address may be called");
    seen(answer)
}
