//! Measures a reload of 2,000 webhooks: both files are read and checked, and either all endpoints are built or only
//! those that changed.
#![expect(clippy::expect_used, reason = "a benchmark ends by panicking")]

use criterion::Criterion;
use ringback::config::{Loaded, Variables};
use ringback::delivery::{Endpoint, Names, Trust};
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

const WEBHOOKS: usize = 2000;
/// The number of connections that an endpoint may keep.
const KEPT_MAX: usize = 32;

/// An accounts file with a webhook per account; `changed` of them have another time-out.
fn accounts(changed: usize) -> String {
    let mut text = String::new();
    for index in 1..=WEBHOOKS {
        let timeout_ms = if index <= changed { 9000 } else { 10_000 };
        write!(
            text,
            r#"
[[account]]
id = {index}
"account.sms.notifyOnDelivery" = true

[[webhook]]
name = "hook-{index}"
account = {index}
default = true
url = "https://hooks-{index}.example.com/phonon"
auth = {{ type = "oauth2", token_url = "https://login-{index}.example.com/token", client_id = "c", client_secret = "s" }}
signing_secrets = ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]
headers = [{{ name = "X-Flow", value = "$flow.key.name" }}]
request_timeout_ms = {timeout_ms}
"#
        )
        .expect("memory");
    }
    text
}

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ringback.toml");
    std::fs::write(&file, "").expect("a file");
    let variables = Variables::new();
    let load = |changed| {
        std::fs::write(folder.path().join("accounts.toml"), accounts(changed)).expect("a file");
        Loaded::load_with(&file, &variables).expect("both files are right")
    };
    let (trust, names) = (Trust::new().expect("the system's roots"), Names::default());
    let build = |loaded: &Loaded, former: &[Arc<Endpoint>]| -> Vec<Arc<Endpoint>> {
        let addresses = &loaded.settings.delivery.addresses;
        let webhooks = loaded.accounts.webhooks.values().enumerate();
        let endpoints = webhooks.map(|(index, (webhook, _))| {
            let former = former.get(index);
            match former.filter(|it| it.serves(webhook, addresses, KEPT_MAX)) {
                Some(endpoint) => endpoint.clone(),
                None => {
                    let webhook = webhook.clone();
                    let built = Endpoint::keeping(webhook, &trust, addresses, &names, KEPT_MAX);
                    Arc::new(built.expect("an endpoint"))
                }
            }
        });
        endpoints.collect()
    };
    let changed = load(1);
    let loaded = load(0);
    criterion.bench_function("reload, 2000 webhooks: read and check both files", |bencher| {
        bencher.iter(|| {
            let again = Loaded::again_with(&loaded.settings, &loaded.effective, &variables);
            again.expect("both files are right")
        });
    });
    criterion.bench_function("reload, 2000 webhooks: build all endpoints", |bencher| {
        bencher.iter(|| build(black_box(&loaded), &[]));
    });
    let former = build(&loaded, &[]);
    criterion.bench_function("reload, 2000 webhooks: keep endpoints, one has changed", |bencher| {
        bencher.iter(|| build(black_box(&changed), &former));
    });
    criterion.bench_function(
        "reload, 2000 webhooks: keep endpoints, none has changed",
        |bencher| {
            bencher.iter(|| build(black_box(&loaded), &former));
        },
    );
}
