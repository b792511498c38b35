//! What the changelog holds: the one place of the tests that knows how its keys are made.

use super::kafka::Message;
use std::collections::BTreeMap;

/// The kinds of rows, by the first byte of the key.
const STATE: u8 = b's';

/// What is left when every key keeps its last value, as compaction would leave it, by partition and key.
pub(crate) fn left(messages: &[Message]) -> BTreeMap<(i32, Vec<u8>), Vec<u8>> {
    let mut left = BTreeMap::new();
    for message in messages {
        let key = message.key.clone().expect("a row has a key");
        match &message.value {
            Some(value) if !value.is_empty() => {
                left.insert((message.partition, key), value.clone());
            }
            // A tombstone.
            _ => {
                left.remove(&(message.partition, key));
            }
        }
    }
    left
}

/// The uuids of which anything is known.
pub(crate) fn uuids(messages: &[Message]) -> Vec<String> {
    let keys = left(messages).into_keys().map(|(_, key)| key);
    keys.filter(|key| key.first() == Some(&STATE))
        .map(|key| String::from_utf8_lossy(&key[1..]).into_owned())
        .collect()
}
