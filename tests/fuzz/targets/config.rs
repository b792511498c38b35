//! The configuration: both files, environment variables, and URLs.

use super::{seen, split};
use crate::target::{Seen, Target};
use ringback::config::{Accounts, Faults, Settings, Variables, load_with};
use std::collections::BTreeMap;
use std::fs;

pub(super) const SETTINGS: Target = Target {
    name: "settings-file",
    run: |input| files(input, ACCOUNTS_FILE.as_bytes(), &Variables::new()),
    seeds: || vec![SETTINGS_FILE.as_bytes().to_vec(), UNCOMMENTED.into()],
    words: WORDS,
    bytes_per_byte: 1000,
};

pub(super) const ACCOUNTS: Target = Target {
    name: "accounts-file",
    run: |input| files(b"", input, &Variables::new()),
    seeds: || vec![ACCOUNTS_FILE.as_bytes().to_vec(), RULES.as_bytes().to_vec()],
    words: WORDS,
    bytes_per_byte: 1000,
};

/// Rules that come after each other's webhooks.
const RULES: &str = r#"[[account]]
id = 28
[[webhook]]
name = "a"
account = 28
url = "https://a/"
response = { type = "json", map = [{ save_in = "$flow.key.x", path = "x.data[0]" }] }
[[webhook]]
name = "b"
account = 28
url = "https://a/$flow.key.response_status"
[[rule]]
account = 28
on = ["flow_complete", "webhook:a:failed"]
webhook = "b"
after = "a"
any_flow = true
when = [{ variable = "$flow.key.error_reason", present = true }]
"#;

pub(super) const VARIABLES: Target = Target {
    name: "variables",
    run: variables,
    seeds: || {
        vec![
            b"RINGBACK__KAFKA__BOOTSTRAP_SERVERS=a:1,b:2\nRINGBACK__KAFKA__CLIENT__SECURITY_PROTOCOL=SSL".to_vec(),
            b"RINGBACK__TOPICS__FLOW_COMPLETE=[\"a\", \"b\"]\nRINGBACK__HTTP__TOKEN__ENV=X\nX=hush".to_vec(),
            b"ringback__delivery__retry__multiplier=1.5\nRINGBACK__DELIVERY__ALLOW_ADDRESSES=10.0.0.0/8,::1".to_vec(),
        ]
    },
    words: &[
        "RINGBACK__",
        "KAFKA__",
        "TOPICS__",
        "DELIVERY__",
        "RETRY__",
        "BREAKER__",
        "CLIENT__",
        "HTTP__",
        "__ENV",
        "__FILE",
        "STATUSES__FINAL",
        "SCHEMA_REGISTRY__URL",
        "ALLOW_ADDRESSES",
        "=",
        "=[",
        "=\n",
        "true",
        "1.5",
        ",",
        "__",
    ],
    bytes_per_byte: 4000,
};

pub(super) const CATALOGUE: Target = Target {
    name: "catalogue",
    run: |input| seen(ringback::definition::catalogue::extended(&String::from_utf8_lossy(input))),
    seeds: || {
        vec![
            include_bytes!("../../../config/catalogue/internal.toml").to_vec(),
            b"[[method]]\nname = \"a\"\nrequest = [{ name = \"b\", from = [\"$flow.key.c\"], optional = true }]\n".to_vec(),
        ]
    },
    words: &[
        "[[method]]",
        "name = ",
        "request = [",
        "from = [",
        "optional = true",
        "$flow.key.*",
        "response",
    ],
    bytes_per_byte: 4000,
};

pub(super) const URL: Target = Target {
    name: "url",
    run: url,
    seeds: || {
        [
            "https://crm.example.com/hooks/phonon?a=%20",
            "http://127.0.0.1:8080/",
            "https://[::ffff:10.0.0.1]/",
            "http://0x7f.1/",
        ]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
    },
    words: URL_WORDS,
    bytes_per_byte: 4000,
};

pub(super) const URL_WORDS: &[&str] = &[
    "http://",
    "https://",
    "ftp://",
    "user:pass@",
    "@",
    "#",
    "?",
    "%25",
    "%2f",
    "%",
    "[::1]",
    "[",
    "]",
    "127.0.0.1",
    "0x7f.1",
    "017700000001",
    "2130706433",
    "localhost",
    "xn--",
    "ß.de",
    "。",
    "１２７",
    "\\",
    "$flow.",
    "{",
    "}",
    ":0",
    ":65536",
    "..",
    "/../",
    "javascript:",
    "data:",
    "file:///",
    "\t",
    "http:",
    "///",
];

const SETTINGS_FILE: &str = include_str!("../../../config/ringback.toml");
const ACCOUNTS_FILE: &str = include_str!("../../../config/accounts.toml");
const UNCOMMENTED: &str = "[schema_registry]\nurl = \"http://127.0.0.1:8081\"\nusername = \"u\"\npassword = \"p\"\n\
    [http]\ntoken = { env = \"T\" }\nlisten = \"0.0.0.0:9464\"\n[kafka.client]\n\"security.protocol\" = \"SSL\"\n\
    [delivery]\nproxy = \"http://u:p@h:1\"\nallow_addresses = [\"10.0.0.0/8\"]\n[statuses]\nfinal = [\"X\"]\n";

const WORDS: &[&str] = &[
    "[[account]]\n",
    "[[webhook]]\n",
    "[[flow]]\n",
    "[[rule]]\n",
    "webhook = \"a\"\n",
    "after = \"b\"\n",
    "any_flow = true\n",
    "\"webhook:b:delivered\"",
    "\"sms:DELIVERD\"",
    "[[template]]\n",
    "type = \"json\"\nformat = \"%x%\"\n",
    "template = { name = \"x\" }\n",
    "tokens = { x = { value = 1 }, y = \"%ani%\" }\n",
    "group = \"g\"\n",
    "values = { x = \"${flow.key.a b}\" }\n",
    "[kafka]\n",
    "[topics]\n",
    "[delivery]\n",
    "[delivery.retry]\n",
    "[delivery.breaker]\n",
    "[statuses]\n",
    "[http]\n",
    "[schema_registry]\n",
    "id = 28\n",
    "account = 28\n",
    "name = \"x\"\n",
    "url = \"https://a\"\n",
    "default = true\n",
    "auth = { type = \"basic\", username = \"u\", password = \"p\" }\n",
    "signing_secrets = [\"whsec_\"]\n",
    "retry = { attempts_max = 5 }\n",
    "breaker = {}\n",
    "account.sms.notifyOnDelivery = true\n",
    "account.sms = true\n",
    "success_codes = [200]\n",
    "rate_per_second = 0\n",
    "burst = 1\n",
    "multiplier = 1e308\n",
    "initial_interval_ms = 1\n",
    "allow_addresses = [\"::/0\"]\n",
    "proxy = \"http://a:1\"\n",
    "{ env = \"X\" }",
    "{ file = \"x\" }",
    " = ",
    ".",
    "[[",
    "]]",
    "\"\"\"\n",
    "'''",
    "\\u0000",
    "\\U0010ffff",
    "1979-05-27T07:32:00Z",
    "inf",
    "nan",
    "0xff",
    "1_0",
    "#",
];

thread_local! {
    /// A folder in memory if possible, because a file on a disk would be flushed after each of many writes.
    static FOLDER: tempfile::TempDir =
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
}

type Loaded = Result<(Settings, Accounts), Faults>;

/// Loads the two files. Panics unless each fault is one line and says how to fix it.
fn load(settings: &[u8], accounts: &[u8], variables: &Variables) -> Loaded {
    FOLDER.with(|folder| {
        let file = folder.path().join("ringback.toml");
        fs::write(&file, settings).expect("the file can be written");
        fs::write(folder.path().join("accounts.toml"), accounts).expect("the file can be written");
        let loaded = load_with(&file, variables);
        match &loaded {
            Ok((_, accounts)) => assert_sound(accounts),
            Err(faults) => {
                assert!(!faults.0.is_empty());
                for fault in &faults.0 {
                    assert!(!fault.fix.is_empty(), "each fault says how to fix it: {fault}");
                    assert!(!fault.to_string().contains('\n'), "each fault is one line: {fault}");
                }
            }
        }
        loaded
    })
}

/// Checks the invariants of every accepted configuration.
fn assert_sound(accounts: &Accounts) {
    for (webhook, rules) in accounts.webhooks.values() {
        let url = &webhook.url;
        assert!(matches!(url.scheme(), "http" | "https"));
        assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
        let host = url.host_str().expect("a URL has a host");
        // One dot at the end is the root of a name. A name with more dots at the end can't be resolved.
        let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
        let number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        assert!(!number || address, "{host} is an address in another notation");
        assert!(accounts.accounts.contains_key(&webhook.account), "the webhook's account exists");
        assert!(rules.attempts_max > 0 && !webhook.success.0.is_empty());
        assert!(!webhook.request_timeout.is_zero() && !webhook.connect_timeout.is_zero());
    }
    for rules in accounts.accounts.values() {
        let default = rules.default_webhook.as_ref();
        assert!(default.is_none_or(|name| accounts.webhooks.contains_key(name)));
    }
}

/// Returns the result as debug text, which shows no secrets and can be compared.
fn comparable(loaded: &Loaded) -> Seen {
    match loaded {
        Ok((_, accounts)) => seen(format!("{accounts:?}")),
        Err(faults) => seen(faults.to_string()),
    }
}

fn files(settings: &[u8], accounts: &[u8], variables: &Variables) -> Seen {
    comparable(&load(settings, accounts, variables))
}

/// Loads the default files with one variable per line of the input.
fn variables(input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input);
    let variables: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    comparable(&load(split(SETTINGS_FILE.as_bytes()).0, ACCOUNTS_FILE.as_bytes(), &variables))
}

fn url(input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input);
    let url = toml::Value::String(text.into_owned());
    let file = format!(
        "[[account]]\nid = 1\nhttp_enabled = true\n[[webhook]]\nname = \"w\"\naccount = 1\ndefault = true\nurl = {url}\n"
    );
    let loaded = load(b"", file.as_bytes(), &Variables::new());
    let url = loaded.map(|(_, accounts)| {
        accounts.webhooks.values().map(|(w, _)| w.url.clone()).collect::<Vec<_>>()
    });
    seen(url.map_err(|faults| faults.to_string()))
}
