//! Rows of several shapes become accounts, wrong rows leave the last good ones in force, and only changed accounts are
//! built.

mod references;

use super::row::{Cell, Kind, Row, Shape};
use super::{Building, Changes, Incremental, Reading, Snapshot};
use crate::config::{Settings, Variables};
use crate::delivery::Webhook;
use crate::domain::{AccountId, FlowId, Timestamp, WebhookName};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const OURS: AccountId = AccountId(28);
const OTHER: AccountId = AccountId(29);
const ACCOUNT: [&str; 3] = ["id", "account.sms.notifyOnDelivery", "http_enabled"];
const WEBHOOK: [&str; 6] = ["id", "name", "account", "default", "url", "definition"];

/// Rows of one query. `-` stands for NULL.
fn rows(kind: Kind, columns: &[&str], values: &[&[&str]]) -> Vec<Arc<Row>> {
    let names: Vec<Arc<str>> = columns.iter().map(|name| Arc::from(*name)).collect();
    let shape = Arc::new(Shape::new(kind, &format!("the_{}s", kind.key()), &names).unwrap());
    let cell = |text: &&str| if *text == "-" { Cell::Null } else { Cell::Text((*text).into()) };
    let row =
        |values: &&[&str]| Arc::new(Row::new(shape.clone(), values.iter().map(cell).collect()));
    values.iter().map(row).collect()
}

fn accounts(values: &[&[&str]]) -> Vec<Arc<Row>> {
    rows(Kind::Account, &ACCOUNT, values)
}

fn webhooks(values: &[&[&str]]) -> Vec<Arc<Row>> {
    rows(Kind::Webhook, &WEBHOOK, values)
}

/// An account of the database, and the names of the webhooks that were built last.
struct World {
    incremental: Incremental,
    settings: Settings,
    variables: Variables,
    built: Vec<String>,
}

impl World {
    fn new() -> Self {
        Self::with(tempfile::tempdir().unwrap().path(), "", Variables::new())
    }

    fn with(folder: &Path, settings: &str, variables: Variables) -> Self {
        let file = folder.join("ringback.toml");
        std::fs::write(&file, settings).unwrap();
        let settings = Settings::load_with(&file, &variables).unwrap();
        Self { incremental: Incremental::default(), settings, variables, built: Vec::new() }
    }

    fn apply(&mut self, read: &[Vec<Arc<Row>>]) -> Changes {
        let mut reading = Reading::default();
        read.iter().flatten().for_each(|row| reading.add(row.clone()));
        self.apply_reading(reading)
    }

    fn apply_reading(&mut self, reading: Reading) -> Changes {
        let mut built = Vec::new();
        let mut check = |webhook: &Arc<Webhook>| {
            built.push(webhook.name.to_string());
            Ok(())
        };
        let basis = self.settings.basis();
        let mut with = Building { basis, variables: &self.variables, check: &mut check };
        let changes = self.incremental.apply(reading, &mut with);
        self.built = built;
        changes
    }

    fn url(&self, name: &str) -> Option<String> {
        let name = WebhookName::new(name).unwrap();
        let (webhook, _) = self.incremental.accounts().webhooks.get(&name)?;
        Some(webhook.url.to_string())
    }

    /// The faults, each as text.
    fn faults(&self) -> Vec<String> {
        self.incremental.faults().map(ToString::to_string).collect()
    }
}

#[test]
fn an_account_is_the_same_with_a_column_or_a_row_for_each_setting() {
    let columns = rows(
        Kind::Account,
        &["ID", "account.sms.notifyOnDelivery", "HTTP_ENABLED", "webhook_enabled", "updated_at"],
        &[&["28", "1", "no", "-", "2026-01-01"]],
    );
    let settings = rows(
        Kind::Account,
        &["id", "account_id", "name", "value"],
        &[
            &["1", "28", "account.sms.notifyOnDelivery", "TRUE"],
            &["2", "28", "http_enabled", "b'0'"],
            &["3", "28", "account.voice.recording", "anything"],
            &["4", "28", "webhook_enabled", "-"],
        ],
    );
    let built = [columns, settings].map(|rows| {
        let mut world = World::new();
        world.apply(&[rows]);
        assert_eq!(world.faults(), Vec::<String>::new());
        world.incremental.accounts().accounts[&OURS].clone()
    });
    assert!(built[0].notify_on_delivery && built[0].webhook_enabled.is_none());
    assert_eq!(built[0], built[1]);
}

#[test]
fn every_spelling_of_a_truth_value_is_read_and_others_are_faults() {
    for (text, is) in [
        ("true", true),
        ("TRUE", true),
        ("1", true),
        ("b'1'", true),
        ("yes", true),
        ("\u{1}", true),
        ("false", false),
        ("0", false),
        ("b'0'", false),
        ("No", false),
        ("\0", false),
    ] {
        let mut world = World::new();
        world.apply(&[accounts(&[&["28", text, "-"]])]);
        let account = &world.incremental.accounts().accounts[&OURS];
        assert_eq!(account.notify_on_delivery, is, "{text:?}");
    }
    let mut world = World::new();
    world.apply(&[accounts(&[&["28", "maybe", "-"]])]);
    assert_eq!(
        world.faults(),
        [
            "table the_accounts, row 28, column account.sms.notifyOnDelivery: account[28].account.sms.notifyOnDelivery: \
             is text; write true or false"
        ]
    );
}

#[test]
fn everything_that_a_file_says_can_be_said_in_columns_and_in_the_definition() {
    let mut world = World::new();
    let definition = r#"{"rate": "30/min", "retry": {"attempts_max": 3}, "headers": [{"name": "X-A", "value": "b"}], "notes": null}"#;
    world.apply(&[
        accounts(&[&["28", "1", "0"]]),
        webhooks(&[
            &["7", "crm", "28", "1", "https://crm.example.com/", definition],
            &["8", "-", "28", "0", "https://b.example.com/", r#"{"name": "in-definition"}"#],
        ]),
        rows(
            Kind::Flow,
            &["row_id", "account", "id", "webhook_enabled"],
            &[&["1", "28", "200", "1"]],
        ),
        rows(
            Kind::Rule,
            &["id", "account", "on", "webhook", "definition"],
            &[&["1", "28", r#"["sms:FAILED"]"#, "in-definition", r#"{"any_flow": true}"#]],
        ),
    ]);
    assert_eq!(world.faults(), Vec::<String>::new());
    let accounts = world.incremental.accounts();
    let (crm, policy) = &accounts.webhooks[&WebhookName::new("crm").unwrap()];
    assert_eq!((policy.attempts_max, crm.limits.rate_per_second.is_some()), (3, true));
    let account = &accounts.accounts[&OURS];
    assert_eq!(account.default_webhook, WebhookName::new("crm"));
    assert!(account.flows[&FlowId(200)]);
    assert!(account.rules[0].1.any_flow);
}

#[test]
fn only_accounts_whose_rows_have_changed_are_built() {
    let mut world = World::new();
    let both = accounts(&[&["28", "1", "0"], &["29", "1", "0"]]);
    let of = |url: &str| {
        webhooks(&[
            &["7", "crm", "28", "1", url, "-"],
            &["8", "desk", "29", "1", "https://desk.example.com/", "-"],
        ])
    };
    let changes = world.apply(&[both.clone(), of("https://one.example.com/")]);
    assert_eq!((changes.accounts.len(), world.built.len()), (2, 2));
    let changes = world.apply(&[both.clone(), of("https://one.example.com/")]);
    assert!(changes.is_empty() && world.built.is_empty());
    let changes = world.apply(&[both.clone(), of("https://two.example.com/")]);
    assert_eq!(changes.accounts.into_iter().collect::<Vec<_>>(), [OURS]);
    assert_eq!(world.built, ["crm"]);
    let changes = world.apply(&[accounts(&[&["28", "1", "0"]]), of("https://two.example.com/")]);
    assert_eq!(changes.accounts.into_iter().collect::<Vec<_>>(), [OTHER], "it is removed");
    assert_eq!((world.url("desk"), world.built.len()), (None, 0));
    assert_eq!(
        world.faults(),
        [
            "table the_webhooks, row 8, column account: webhook: account 29 is not configured; add a row of this \
             account, or write the id of another one"
        ]
    );
}

#[test]
fn a_wrong_row_leaves_its_last_good_state_in_force_and_other_rows_apply() {
    const ONE: &str = "https://one.example.com/";
    const TWO: &str = "https://two.example.com/";
    let mut world = World::new();
    let ours = || accounts(&[&["28", "1", "0"]]);
    let of = |crm: &str, desk: &str| {
        webhooks(&[&["7", "crm", "28", "1", crm, "-"], &["8", "desk", "28", "0", desk, "-"]])
    };
    world.apply(&[ours(), of(ONE, ONE)]);
    let changes = world.apply(&[ours(), of("htps://wrong", TWO)]);
    assert_eq!((world.url("crm").as_deref(), world.url("desk").as_deref()), (Some(ONE), Some(TWO)));
    assert_eq!(changes.faults.len(), 1);
    let wanted = "table the_webhooks, row 7, column url: webhook[crm].url: is not an https:// URL";
    assert!(world.faults()[0].starts_with(wanted), "{:?}", world.faults());
    // The fault is new only once, and stays while other rows of the account change.
    let changes = world.apply(&[ours(), of("htps://wrong", ONE)]);
    assert_eq!((changes.faults.len(), world.faults().len()), (0, 1));
    assert_eq!((world.url("crm").as_deref(), world.url("desk").as_deref()), (Some(ONE), Some(ONE)));
    world.apply(&[ours(), of(TWO, ONE)]);
    assert_eq!((world.url("crm").as_deref(), world.faults().len()), (Some(TWO), 0));
    // Without its account, the row stays where it was.
    for id in ["7", "9"] {
        let lost =
            webhooks(&[&[id, "crm", "-", "1", ONE, "-"], &["8", "desk", "28", "0", ONE, "-"]]);
        world.apply(&[ours(), lost]);
        assert_eq!((world.url("crm").as_deref(), world.faults().len()), (Some(TWO), 1), "{id}");
    }
    // The row without an account does not count if another one describes the webhook.
    let both = webhooks(&[&["7", "crm", "28", "1", ONE, "-"], &["9", "crm", "-", "1", TWO, "-"]]);
    world.apply(&[ours(), both]);
    assert_eq!((world.url("crm").as_deref(), world.faults().len()), (Some(ONE), 1));
}

#[test]
fn a_wrong_row_with_a_new_id_leaves_the_row_in_force_that_it_replaces() {
    const ONE: &str = "https://one.example.com/";
    const NOTIFY: &str = "account.sms.notifyOnDelivery";
    let mut world = World::new();
    let setting = |id: &str, value: &str| {
        rows(Kind::Account, &["id", "account_id", "name", "value"], &[&[id, "28", NOTIFY, value]])
    };
    let crm = |id: &str, url: &str| webhooks(&[&[id, "crm", "28", "1", url, "-"]]);
    let flow = |id: &str, enabled: &str| {
        let columns = ["row_id", "account", "id", "webhook_enabled"];
        rows(Kind::Flow, &columns, &[&[id, "28", "7", enabled]])
    };
    world.apply(&[setting("1", "yes"), crm("1", ONE), flow("1", "no")]);
    let in_force = |world: &World| {
        let account = world.incremental.accounts().accounts[&OURS].clone();
        (account.notify_on_delivery, account.flows.get(&FlowId(7)).copied(), world.url("crm"))
    };
    let good = (true, Some(false), Some(ONE.to_owned()));
    assert_eq!(in_force(&world), good);
    for id in ["2", "3"] {
        world.apply(&[setting(id, "perhaps"), crm(id, "htps://wrong"), flow(id, "perhaps")]);
        assert_eq!((in_force(&world), world.faults().len()), (good.clone(), 3));
    }
    // A webhook that another row still describes is not in force twice.
    let two = webhooks(&[&["3", "crm", "28", "1", ONE, "-"], &["4", "crm", "28", "0", ONE, "-"]]);
    world.apply(&[setting("3", "no"), two, flow("3", "yes")]);
    assert_eq!(in_force(&world), (false, Some(true), Some(ONE.to_owned())));
    assert_eq!(world.faults().len(), 1);
}

#[test]
fn an_account_stays_as_it_was_if_a_change_makes_an_unchanged_row_wrong() {
    const PLAIN: &str = "http://crm.example.com/";
    let mut world = World::new();
    let crm = || webhooks(&[&["7", "crm", "28", "1", PLAIN, "-"]]);
    world.apply(&[accounts(&[&["28", "1", "1"]]), crm()]);
    world.apply(&[accounts(&[&["28", "0", "0"]]), crm()]);
    assert_eq!(world.url("crm").as_deref(), Some(PLAIN));
    assert!(world.incremental.accounts().accounts[&OURS].notify_on_delivery);
    assert!(world.faults()[0].contains("is http://, and its account does not allow that"));
    world.apply(&[accounts(&[&["28", "0", "1"]]), crm()]);
    assert!(!world.incremental.accounts().accounts[&OURS].notify_on_delivery);
    assert_eq!(world.faults(), Vec::<String>::new());
}

#[test]
fn a_webhook_that_a_rule_needs_is_kept_and_other_changes_of_the_account_apply() {
    const ONE: &str = "https://one.example.com/";
    const TWO: &str = "https://two.example.com/";
    let mut world = World::new();
    let ours = || accounts(&[&["28", "1", "0"]]);
    let rule = || {
        rows(
            Kind::Rule,
            &["id", "account", "on", "webhook"],
            &[&["1", "28", "[\"flow_complete\"]", "desk"]],
        )
    };
    let both = webhooks(&[&["7", "crm", "28", "1", ONE, "-"], &["8", "desk", "28", "0", ONE, "-"]]);
    world.apply(&[ours(), both, rule()]);
    assert_eq!(world.faults(), Vec::<String>::new());
    let crm = |url: &str| webhooks(&[&["7", "crm", "28", "1", url, "-"]]);
    world.apply(&[ours(), crm(TWO), rule()]);
    assert_eq!((world.url("crm").as_deref(), world.url("desk").as_deref()), (Some(TWO), Some(ONE)));
    assert_eq!(world.faults().len(), 1, "{:?}", world.faults());
    assert!(world.faults()[0].contains("desk"), "{:?}", world.faults());
    world.apply(&[ours(), crm(ONE)]);
    assert_eq!((world.url("crm").as_deref(), world.url("desk")), (Some(ONE), None));
    assert_eq!(world.faults(), Vec::<String>::new());
}

#[test]
fn rows_that_are_held_back_because_of_another_one_have_faults() {
    const PLAIN: &str = "http://crm.example.com/";
    const NEXT: &str = "http://crm.example.com/next";
    let mut world = World::new();
    let crm = |url: &str| {
        webhooks(&[&["7", "crm", "28", "1", url, "-"], &["8", "desk", "28", "0", PLAIN, "-"]])
    };
    world.apply(&[accounts(&[&["28", "1", "1"]]), crm(PLAIN)]);
    world.apply(&[accounts(&[&["28", "1", "0"]]), crm(NEXT)]);
    assert_eq!(world.url("crm").as_deref(), Some(PLAIN));
    let held = "is not applied, because another change of the account is wrong";
    let faults = world.faults();
    assert!(
        faults.iter().any(|fault| fault.contains("the_accounts") && fault.contains(held)),
        "{faults:?}"
    );
}

#[test]
fn a_name_belongs_to_its_first_account_and_to_the_next_one_once_it_is_free() {
    const A: &str = "https://a.example.com/";
    const B: &str = "https://b.example.com/";
    let mut world = World::new();
    let both = || accounts(&[&["28", "1", "0"], &["29", "1", "0"]]);
    let ours = |name: &str| webhooks(&[&["7", name, "28", "1", A, "-"]]);
    let theirs = |name: &str| webhooks(&[&["8", name, "29", "1", B, "-"]]);
    world.apply(&[both(), ours("crm"), theirs("crm")]);
    assert_eq!(world.url("crm").as_deref(), Some(A));
    assert!(world.faults()[0].contains("account 28 has a webhook of this name already"));
    world.apply(&[both(), ours("other"), theirs("crm")]);
    assert_eq!((world.url("crm").as_deref(), world.url("other").as_deref()), (Some(B), Some(A)));
    assert_eq!(world.faults(), Vec::<String>::new());
    // An account that is removed frees its names, too.
    world.apply(&[both(), ours("crm"), theirs("crm")]);
    assert_eq!(world.faults().len(), 1);
    world.apply(&[accounts(&[&["29", "1", "0"]]), theirs("crm")]);
    assert_eq!((world.url("crm").as_deref(), world.faults().len()), (Some(B), 0));
    world.apply(&[both(), ours("other"), theirs("crm")]);
    // Both change their names at once.
    world.apply(&[both(), ours("crm"), theirs("other")]);
    assert_eq!((world.url("crm").as_deref(), world.url("other").as_deref()), (Some(A), Some(B)));
    assert_eq!(world.faults(), Vec::<String>::new());
}

#[test]
fn a_reading_that_began_before_a_look_up_does_not_remove_what_the_look_up_found() {
    let mut world = World::new();
    let crm = || webhooks(&[&["7", "crm", "28", "1", "https://crm.example.com/", "-"]]);
    let young = |url: &str| webhooks(&[&["8", "young", "29", "1", url, "-"]]);
    let of = |read: &[Vec<Arc<Row>>], only: Option<Vec<AccountId>>, begun: Instant| {
        let mut reading = Reading { only, begun: Some(begun), ..Reading::default() };
        read.iter().flatten().for_each(|row| reading.add(row.clone()));
        reading
    };
    let ours = || accounts(&[&["28", "1", "0"]]);
    let both = || accounts(&[&["28", "1", "0"], &["29", "1", "0"]]);
    let theirs = || accounts(&[&["29", "1", "0"]]);
    let begun = Instant::now();
    let [later, last] = [1, 2].map(|seconds| begun + Duration::from_secs(seconds));
    const NEW: &str = "https://new.example.com/";
    world.apply_reading(of(&[theirs(), young(NEW)], Some(vec![OTHER]), later));
    world.apply_reading(of(&[ours(), crm()], None, begun));
    assert!(world.url("crm").is_some(), "the other rows of the reading count");
    assert_eq!(world.url("young").as_deref(), Some(NEW), "it was found later");
    let old = young("https://old.example.com/");
    world.apply_reading(of(&[both(), crm(), old], None, begun));
    assert_eq!(world.url("young").as_deref(), Some(NEW), "older rows do not replace newer ones");
    world.apply_reading(of(&[ours(), crm()], None, last));
    assert_eq!(world.url("young"), None, "a later reading removes it");
}

#[test]
fn a_look_up_concerns_only_the_accounts_that_were_asked_for() {
    let mut world = World::new();
    world.apply(&[accounts(&[&["28", "1", "0"]])]);
    let mut reading = Reading { only: Some(vec![OTHER]), ..Reading::default() };
    accounts(&[&["29", "1", "0"]]).into_iter().for_each(|row| reading.add(row));
    world.apply_reading(reading);
    let known: Vec<AccountId> = world.incremental.accounts().accounts.keys().copied().collect();
    assert_eq!(known, [OURS, OTHER]);
    world.apply_reading(Reading { only: Some(vec![OTHER]), ..Reading::default() });
    assert!(!world.incremental.accounts().accounts.contains_key(&OTHER));
}

#[test]
fn a_snapshot_has_the_rows_in_force_and_an_incomplete_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Snapshot::read(folder.path()).unwrap().is_none());
    let mut world = World::new();
    let crm = |url: &str| webhooks(&[&["7", "crm", "28", "1", url, "-"]]);
    world.apply(&[accounts(&[&["28", "1", "0"]]), crm("https://good.example.com/")]);
    world.apply(&[accounts(&[&["28", "1", "0"]]), crm("htps://wrong")]);
    let at = Timestamp::from_ms(1_700_000_000_000);
    Snapshot::write(&world.incremental, at, folder.path()).unwrap();
    let snapshot = Snapshot::read(folder.path()).unwrap().unwrap();
    assert_eq!(snapshot.at, at);
    // The database still has the rows an hour later.
    let later = Timestamp::from_ms(at.as_ms() + 3_600_000);
    Snapshot::confirm(later, folder.path()).unwrap();
    assert_eq!(Snapshot::read(folder.path()).unwrap().unwrap().at, later);
    let mut restarted = World::new();
    restarted.apply_reading(snapshot.reading);
    assert_eq!(restarted.url("crm").as_deref(), Some("https://good.example.com/"));
    restarted.apply(&[accounts(&[&["28", "1", "0"]]), crm("htps://wrong")]);
    assert_eq!(restarted.url("crm").as_deref(), Some("https://good.example.com/"));

    let file = folder.path().join("accounts.snapshot");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for broken in [lines[..2].join("\n"), format!("{}\n{}\n", lines[0], lines[3]), "{}".to_owned()]
    {
        std::fs::write(&file, &broken).unwrap();
        assert!(Snapshot::read(folder.path()).is_err(), "{broken}");
    }
}

#[test]
fn a_query_without_the_accounts_column_is_refused() {
    let names = ["name".into(), "url".into()];
    let error = Shape::new(Kind::Webhook, "t", &names).unwrap_err();
    assert_eq!(
        error,
        "accounts.mysql.webhooks_query returns no column account: it returns name, url"
    );
}
