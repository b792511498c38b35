//! The headers that a webhook cannot set, because the daemon or HTTP itself sets them.

use super::check;

/// The names, in other cases too, each with the advice for `headers`.
const REFUSED: [(&str, &str); 12] = [
    ("Authorization", "write it as `auth`"),
    ("Connection", "remove it"),
    ("content-length", "remove it"),
    ("Expect", "remove it"),
    ("HOST", "remove it"),
    ("TE", "remove it"),
    ("traceparent", "remove it"),
    ("Transfer-Encoding", "remove it"),
    ("Upgrade", "remove it"),
    ("Webhook-Id", "remove it"),
    ("webhook-signature", "use `signing_secrets` to sign"),
    ("Webhook-Timestamp", "remove it"),
];

fn accounts(key: &str, items: &[String]) -> String {
    format!(
        "[[account]]\nid = 1\n[[webhook]]\nname = \"w\"\naccount = 1\nurl = \"https://a.b/\"\n{key} = [\n{}\n]\n",
        items.join(",\n")
    )
}

#[test]
fn headers_that_the_daemon_sets_are_refused_in_any_case() {
    let header = |name: &str| format!("{{ name = \"{name}\", value = \"x\" }}");
    let mut items = REFUSED.map(|(name, _)| header(name)).to_vec();
    items.extend(["Host-Id", "X-Host", "Content-Type", "User-Agent"].map(header));
    let fault = |(number, (name, fix)): (usize, &(&str, &str))| {
        let (line, known) = (8 + number, name.to_ascii_lowercase());
        format!(
            "accounts.toml:{line}: webhook[w].headers[{name}].name: `{known}` is written by the daemon itself; {fix}"
        )
    };
    let wanted: Vec<String> = REFUSED.iter().enumerate().map(fault).collect();
    check("", &accounts("headers", &items), &wanted.iter().map(|it| &**it).collect::<Vec<_>>());
}

#[test]
fn signatures_replace_no_header_that_the_daemon_sets() {
    let signature =
        |name: &str| format!("{{ header = \"{name}\", scheme = \"hmac-sha256\", secret = \"s\" }}");
    let names = REFUSED.map(|(name, _)| name);
    let names: Vec<&str> = names.into_iter().chain(["Content-Type", "User-Agent"]).collect();
    let mut items: Vec<String> = names.iter().map(|name| signature(name)).collect();
    items.push(signature("X-Host"));
    let fault = |(number, name): (usize, &&str)| {
        let (line, known) = (8 + number, name.to_ascii_lowercase());
        let fix = match &*known {
            "webhook-signature" => "sign by `signing_secrets`",
            _ => "use the header that the receiver reads the signature from",
        };
        format!(
            "accounts.toml:{line}: webhook[w].signatures[#{}].header: `{known}` is written by the daemon itself; {fix}",
            number + 1
        )
    };
    let wanted: Vec<String> = names.iter().enumerate().map(fault).collect();
    check("", &accounts("signatures", &items), &wanted.iter().map(|it| &**it).collect::<Vec<_>>());
}
