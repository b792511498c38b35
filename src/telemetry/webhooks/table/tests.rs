//! Tests of the choice of the webhooks that have series of their own.

use super::*;
use crate::domain::ErrorReason;
use crate::telemetry::labels::{AttemptOutcome, Try};

fn name(name: &str) -> WebhookName {
    WebhookName::new(name).unwrap()
}

fn load(webhook: &str, rows: u64, waits_for: OutboxState) -> WebhookLoad {
    let (webhook, oldest) = (name(webhook), Some(Timestamp::from_ms(5)));
    WebhookLoad { webhook, rows, in_flight: 1, later: 2, waits_for, oldest }
}

struct Scene {
    table: Table,
    configured: Vec<WebhookName>,
    now: Instant,
}

impl Scene {
    fn new(shown_max: usize, configured: &[&str]) -> Self {
        let configured = configured.iter().map(|it| name(it)).collect();
        Self { table: Table::new(shown_max), configured, now: Instant::now() }
    }

    fn attempts(&mut self, webhook: &str, attempts: usize) {
        for _ in 0..attempts {
            self.table.count(&name(webhook), 1.0, |series| {
                series.attempt(Try::First, AttemptOutcome(Some(ErrorReason::Timeout)));
            });
        }
    }

    fn select(&mut self, seconds: u64, loads: &[WebhookLoad]) {
        self.now += Duration::from_secs(seconds);
        let is_configured = |webhook: &WebhookName| self.configured.contains(webhook);
        self.table.select(self.configured.iter(), is_configured, loads, self.now);
        self.table.set_gauges(loads, &BTreeMap::from([(name("b"), EndpointState::Open)]));
    }

    fn shown(&self) -> Vec<&str> {
        let mut shown: Vec<&str> =
            self.table.exposed.shown.keys().map(WebhookName::as_str).collect();
        shown.sort_unstable();
        shown
    }

    /// Returns the counts of all series together.
    fn sum(&self) -> Series {
        let mut sum = self.table.exposed.other.clone();
        self.table.exposed.shown.iter().for_each(|(_, shown)| sum.absorb(&shown.series));
        sum
    }
}

fn counted(attempts: usize) -> Series {
    let mut scene = Scene::new(0, &[]);
    scene.attempts("any", attempts);
    scene.table.exposed.other
}

#[test]
fn idle_webhooks_have_series_while_there_is_room_and_busy_ones_replace_them() {
    let mut scene = Scene::new(2, &["a", "b", "c", "d"]);
    scene.select(0, &[]);
    assert_eq!(scene.shown(), ["a", "b"]);
    scene.attempts("d", 1);
    scene.select(1, &[]);
    assert!(scene.shown().contains(&"d"), "{:?}", scene.shown());
    assert_eq!(scene.sum(), counted(1), "the attempt before the change is in all others");
    assert_eq!(scene.table.exposed.other, counted(1));
}

#[test]
fn only_a_much_busier_webhook_takes_the_place_of_another_and_no_count_is_lost() {
    let mut scene = Scene::new(2, &["a", "b", "c"]);
    scene.attempts("a", 30);
    scene.attempts("b", 40);
    scene.attempts("c", 60);
    scene.select(1, &[]);
    assert_eq!(scene.shown(), ["a", "b"], "60 is not much more than 30");
    scene.attempts("c", 15);
    scene.select(1, &[]);
    assert_eq!(scene.shown(), ["b", "c"]);
    assert_eq!(scene.sum(), counted(145));
    // Its attempts count in its own series from now on.
    scene.attempts("c", 5);
    assert_eq!(scene.table.exposed.other, counted(105));
    assert_eq!(scene.sum(), counted(150));
    // Much later, all are at rest, and any other takes a place.
    scene.select(40_000, &[]);
    scene.attempts("a", 1);
    scene.select(1, &[]);
    assert!(scene.shown().contains(&"a"));
    assert_eq!(scene.sum(), counted(151));
}

#[test]
fn a_webhook_whose_endpoint_is_never_called_is_busy_if_it_has_a_backlog() {
    let mut scene = Scene::new(1, &["a", "b"]);
    scene.select(0, &[]);
    assert_eq!(scene.shown(), ["a"]);
    scene.select(1, &[load("b", 10, OutboxState::Breaker)]);
    assert_eq!(scene.shown(), ["b"]);
}

#[test]
fn a_removed_webhook_has_no_series_once_it_has_no_backlog() {
    let mut scene = Scene::new(2, &["a", "b"]);
    scene.attempts("a", 3);
    scene.configured.remove(0);
    scene.select(1, &[load("a", 1, OutboxState::Held)]);
    assert_eq!(scene.shown(), ["a", "b"]);
    scene.select(1, &[]);
    assert_eq!(scene.shown(), ["b"]);
    assert_eq!(scene.sum(), counted(3));
}

#[test]
fn a_webhook_named_like_all_others_has_no_series_of_its_own() {
    let mut scene = Scene::new(2, &["other"]);
    scene.attempts("other", 3);
    scene.select(1, &[load("other", 7, OutboxState::Due)]);
    assert!(scene.shown().is_empty());
    assert_eq!(scene.table.exposed.other, counted(3));
    assert_eq!(scene.table.exposed.other_gauges.rows, 7);
}

#[test]
fn gauges_are_those_of_each_webhook_and_the_sum_of_all_others() {
    let mut scene = Scene::new(1, &["b", "c", "d"]);
    scene.attempts("b", 9);
    let (held, limited) = (OutboxState::Breaker, OutboxState::RateLimited);
    let loads = [load("b", 10, held), load("c", 20, limited), load("d", 30, OutboxState::Due)];
    scene.select(1, &loads);
    let (_, shown) = scene.table.exposed.shown.iter().next().unwrap();
    let oldest = Some(Timestamp::from_ms(5));
    // One is in flight and two are retried later.
    let of_b = Gauges { rows: 10, rate_limited: 0, held: 7, oldest, state: EndpointState::Open };
    assert_eq!(shown.gauges, of_b);
    let state = EndpointState::Closed;
    let of_others = Gauges { rows: 50, rate_limited: 17, held: 0, oldest, state };
    assert_eq!(scene.table.exposed.other_gauges, of_others);
    scene.select(1, &[]);
    assert_eq!(scene.table.exposed.other_gauges, Gauges::default());
}
