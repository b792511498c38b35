//! Lists of thousands of entries, and parameters that do not exist.

use super::{Api, OneAccount, with_api, with_console};
use crate::accounts::Accounts;
use crate::config;
use crate::console::{Current, InForce};
use crate::delivery::{AddressPolicy, Names, Trust};
use crate::domain::{AccountId, WebhookName};
use crate::inspect::accounts::{AccountLine, AccountView, FaultView};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The number of webhooks.
const WEBHOOKS: usize = 5000;
/// The maximum size of a page.
const PAGE_BYTES: usize = 512 << 10;
/// The maximum time for a page, even in an unoptimised build on a busy machine.
const PAGE_TIME: Duration = Duration::from_secs(5);

/// The accounts of a daemon with thousands of webhooks.
struct Many(Accounts);

impl Many {
    /// Each webhook has a name of the greatest length.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = "[[account]]\nid = 28\n[[webhook]]\nname = \"w\"\naccount = 28\nurl = \"https://a.b/c\"\n";
        std::fs::write(folder.path().join("accounts.toml"), text).unwrap();
        let file = folder.path().join("ringback.toml");
        std::fs::write(&file, "").unwrap();
        let (_, mut accounts) = config::load_with(&file, &Default::default()).unwrap();
        let (_, webhook) = accounts.webhooks.iter().next().unwrap();
        let webhook = webhook.clone();
        accounts.webhooks = (0..WEBHOOKS).map(|number| (name(number), webhook.clone())).collect();
        Self(accounts)
    }
}

fn name(number: usize) -> WebhookName {
    let rest = "<".repeat(WebhookName::BYTES_MAX - 7);
    let name = format!("{:02}Ho{:03}{rest}", number / 1000, number % 1000);
    WebhookName::new(&name).unwrap()
}

impl InForce for Many {
    fn current(&self) -> Option<Current> {
        Some(Current {
            accounts: self.0.clone(),
            trust: Arc::new(Trust::new().unwrap()),
            addresses: AddressPolicy::default(),
            names: Names::new(&[]),
        })
    }

    fn lines(&self, after: Option<AccountId>, max: usize) -> Vec<AccountLine> {
        OneAccount.lines(after, max)
    }

    fn faults(&self, _max: usize) -> Vec<FaultView> {
        Vec::new()
    }

    fn account(&self, account: AccountId) -> Option<AccountView> {
        OneAccount.account(account)
    }
}

/// Follows the links to the next page from `path` on, and returns the number of pages and the names of all webhooks.
async fn follow(api: &Api, path: &str) -> (usize, BTreeSet<String>) {
    let (mut pages, mut names, mut next) = (0, BTreeSet::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let start = Instant::now();
        let page = api.get(&path).await.text().await.unwrap();
        assert!(start.elapsed() < PAGE_TIME, "{path} took {:?}", start.elapsed());
        assert!(page.len() <= PAGE_BYTES, "{path} has {} bytes", page.len());
        let rows = page.split("<td><a href=\"/webhooks/").skip(1);
        let rows: Vec<String> =
            rows.filter_map(|row| Some(row.split_once('"')?.0.to_owned())).collect();
        assert!(rows.len() <= 200, "{path} has {} rows", rows.len());
        let count = names.len() + rows.len();
        names.extend(rows);
        assert_eq!(names.len(), count, "{path} shows a webhook again");
        let link = page.split_once("\">Next page").map(|(before, _)| before.rsplit('"').next());
        next = link.flatten().map(|link| link.replace("&amp;", "&"));
        pages += 1;
    }
    (pages, names)
}

#[test]
fn thousands_of_webhooks_are_listed_in_small_pages_and_found() {
    with_console(Some(Arc::new(Many::new())), None, async |api| {
        let (pages, all) = follow(&api, "/webhooks").await;
        assert_eq!((pages, all.len()), (WEBHOOKS.div_ceil(200), WEBHOOKS));
        // The search ignores case, and is kept from page to page.
        let (pages, found) = follow(&api, "/webhooks?q=03hO").await;
        assert_eq!((pages, found.len()), (5, 1000));
        let (pages, found) = follow(&api, "/webhooks?q=03Ho017").await;
        assert_eq!((pages, found.len()), (1, 1));
        let (_, found) = follow(&api, "/webhooks?q=28").await;
        assert_eq!(found.len(), WEBHOOKS, "all webhooks of the account");
        assert_eq!(follow(&api, "/webhooks?q=nothing").await, (1, BTreeSet::new()));
        for (query, rows) in [("limit=3", 3), ("limit=5000", 1000), ("q=03ho&limit=7", 7)] {
            let answer = api.get(&format!("/api/v1/webhooks?{query}")).await.text().await.unwrap();
            let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
            let webhooks = answer["webhooks"].as_array().unwrap();
            assert_eq!(webhooks.len(), rows, "{query}");
            let fits = |name: &serde_json::Value| name.as_str().unwrap().starts_with("03Ho");
            assert!(!query.starts_with('q') || webhooks.iter().all(|it| fits(&it["name"])));
        }
    });
}

#[test]
fn a_parameter_that_does_not_exist_is_refused_by_every_page_and_operation() {
    with_api(None, |api| async move {
        for path in [
            "/",
            "/webhooks",
            "/webhooks/crm",
            "/executions",
            "/dead-letters",
            "/dead-letters/letter",
            "/dead-letters/plan",
            "/replays",
            "/replays/1",
            "/accounts",
            "/accounts/28",
            "/live/overview",
            "/live/replays/1",
            "/api/v1/webhooks",
            "/api/v1/webhooks/crm",
            "/api/v1/deliveries",
            "/api/v1/dead-letters",
            "/api/v1/dead-letters/0:1",
            "/api/v1/replays",
            "/api/v1/replays/1",
            "/api/v1/accounts",
            "/api/v1/accounts/28",
            "/api/v1/instances",
        ] {
            let answer = api.get(&format!("{path}?no=such")).await;
            assert_eq!(answer.status().as_u16(), 400, "{path}");
            let text = answer.text().await.unwrap();
            assert!(text.contains("the parameter no is unknown"), "{path}: {text}");
        }
    });
}
