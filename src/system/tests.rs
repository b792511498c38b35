//! Tests of the division of open files.

use super::*;

/// The files of all Kafka clients with one broker.
const KAFKA: u64 = 80;

fn needs(in_flight_max: usize, webhooks: usize) -> FileNeeds {
    FileNeeds { in_flight_max, webhooks, brokers: 1 }
}

#[test]
fn a_large_limit_leaves_the_configuration_as_it_is() {
    let plan = FilePlan::new(65_536, needs(1024, 100)).unwrap();
    assert_eq!((plan.in_flight_max, plan.shortcoming()), (1024, None));
    assert!(plan.kept_per_webhook(100) >= 32, "{plan:?}");
    let unlimited = FilePlan::new(u64::MAX, needs(100_000, 100_000)).unwrap();
    assert_eq!((unlimited.in_flight_max, unlimited.shortcoming()), (100_000, None));
}

#[test]
fn one_webhook_more_rarely_changes_how_many_connections_each_may_keep() {
    let plan = FilePlan::new(4096, needs(1024, 100)).unwrap();
    let kept: Vec<usize> = (100..200).map(|webhooks| plan.kept_per_webhook(webhooks)).collect();
    let changes = kept.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes <= 1 && kept[0] > 1, "{kept:?}");
}

#[test]
fn what_does_not_fit_is_cut_and_reported_with_numbers_and_advice() {
    let plan = FilePlan::new(1024, needs(1024, 3)).unwrap();
    assert!((300..1024).contains(&plan.in_flight_max), "{plan:?}");
    let said = plan.shortcoming().unwrap();
    for words in
        ["limit is 1024", "1024 for [delivery] in_flight_max", "LimitNOFILE=", "512 for the store"]
    {
        assert!(said.contains(words), "{words:?} is missing: {said}");
    }
    assert!(!said.contains("no connection is kept"), "{said}");
    let crowded = FilePlan::new(1024, needs(1024, 5000)).unwrap();
    assert_eq!(crowded.kept_per_webhook(5000), 0);
    assert!(crowded.shortcoming().unwrap().contains("no connection is kept"));
}

#[test]
fn all_parts_together_fit_into_the_limit() {
    for limit in (200..5000).step_by(7) {
        for needs in [needs(1, 1), needs(64, 3000), needs(1024, 3), needs(100_000, 100_000)] {
            let Ok(plan) = FilePlan::new(limit, needs) else {
                assert!(limit < 256, "{limit} files suffice");
                continue;
            };
            let kept = plan.kept_per_webhook(needs.webhooks) * needs.webhooks;
            let deliveries = (plan.in_flight_max + kept) as u64;
            let others = for_store(limit) + for_admin(limit) + for_look_ups(limit);
            assert!(deliveries + others + KAFKA <= limit, "{limit}: {plan:?}");
            assert!(plan.in_flight_max >= needs.in_flight_max.min(4), "{limit}: {plan:?}");
        }
    }
}

#[test]
fn the_reported_minimum_is_the_lowest_sufficient_limit() {
    let error = FilePlan::new(100, needs(1024, 3)).unwrap_err();
    assert!(FilePlan::new(error.least, needs(1024, 3)).is_ok(), "{error}");
    assert_eq!(FilePlan::new(error.least - 1, needs(1024, 3)).unwrap_err().least, error.least);
    assert!(error.to_string().contains("the hard limit is 100 (RLIMIT_NOFILE)"), "{error}");
}
