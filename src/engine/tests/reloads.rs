//! Tests of reloads while the engine is in a call: it may wait for Kafka for hours.

use super::dice::Dice;
use super::setting::{Setting, WEBHOOKS};
use crate::codec::event::ReloadEvent;
use crate::delivery::{InstanceLimits, Lanes};
use crate::domain::WebhookName;
use crate::engine::EngineConfig;
use crate::engine::channels::Channels;
use crate::engine::input::Input;
use crate::engine::reloads::{EVENTS_MAX, Reloads};
use imbl::OrdMap;
use std::sync::Arc;
use std::time::Instant;

#[test]
fn lanes_follow_at_once_and_the_newest_configuration_alone_waits() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let setting = Setting::roll(&mut Dice(1));
    let channels = Channels::default();
    let limits = InstanceLimits { in_flight_max: 1, uncommitted_max: 1, rate_per_second: None };
    let lanes =
        Lanes::new(limits, channels.watch(&setting.metrics), runtime.handle().clone(), None);
    let reloads = Reloads::new(channels.mailbox.clone(), lanes.remote());
    let name = WebhookName::new(WEBHOOKS[0].1).unwrap();
    reloads.configure(&setting.config);
    assert!(lanes.endpoint(&name).is_some(), "the lanes need no engine for it");

    let config = || EngineConfig {
        policy: setting.policy.clone(),
        endpoints: OrdMap::new(),
        account_rates: OrdMap::new(),
    };
    let configs: Vec<_> = (0..1000).map(|_| Arc::new(config())).collect();
    for (number, config) in configs.iter().enumerate() {
        reloads.configure(config);
        reloads.publish(ReloadEvent::refused(&number.to_string()));
    }
    assert!(lanes.endpoint(&name).is_none(), "the reload has removed it");
    let held = configs.iter().filter(|config| Arc::strong_count(config) > 1).count();
    assert_eq!(held, 1, "the other configurations are dropped");
    let mut inputs = Vec::new();
    channels.mailbox.take(&mut inputs, 1, Instant::now());
    assert!(matches!(inputs.as_slice(), [Input::Reloads(_)]), "one input for all of them");
    let left = reloads.take();
    assert!(left.config.is_some_and(|config| Arc::ptr_eq(&config, &configs[999])));
    assert_eq!(left.events.len(), EVENTS_MAX);
    assert_eq!(left.events.last(), Some(&ReloadEvent::Refused("999".to_owned())));
    reloads.configure(&configs[0]);
    channels.mailbox.take(&mut inputs, 1, Instant::now());
    assert_eq!(inputs.len(), 2, "a later reload is announced again");
}
