//! Reads the changelog. Only this module of the tests knows the format of its keys.

use super::kafka::Message;
use std::collections::BTreeMap;

/// The first byte of the key of a uuid's row.
const STATE: u8 = b's';

/// Returns the last value of every key, as after compaction, by partition and key.
pub(crate) fn left(messages: &[Message]) -> BTreeMap<(i32, Vec<u8>), Vec<u8>> {
    let mut left = BTreeMap::new();
    for message in messages {
        let key = message.key.clone().expect("a row has a key");
        match &message.value {
            Some(value) if !value.is_empty() => {
                left.insert((message.partition, key), value.clone());
            }
            // A tombstone removes the row.
            _ => {
                left.remove(&(message.partition, key));
            }
        }
    }
    left
}

/// Returns the uuids that have a row.
pub(crate) fn uuids(messages: &[Message]) -> Vec<String> {
    let keys = left(messages).into_keys().map(|(_, key)| key);
    keys.filter(|key| key.first() == Some(&STATE))
        .map(|key| String::from_utf8_lossy(&key[1..]).into_owned())
        .collect()
}
