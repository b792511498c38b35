//! Decides where positions, unread records and endpoints belong with another number of partitions.

use crate::codec::command::{
    COMMAND_HEADER, InboxCommand, LETTER_HEADER, read_command, read_place,
};
use crate::codec::row::{InputOffset, Owner};
use crate::domain::{
    EndpointCommand, EndpointState, WebhookName, merge_endpoints, notices_owner, owner,
};
use crate::log::{GroupOffset, TopicPartition};
use crate::replay::note_home;
use std::collections::BTreeMap;

/// Where an unread record of the former inbox goes.
#[derive(Debug)]
pub(super) enum Destination {
    /// To this partition of the new inbox.
    Partition(i32),
    /// Nowhere: the command about this endpoint is carried out by the repartition, for all new partitions. Each former
    /// partition had its own copy of the command, and had read it or not.
    Endpoint(WebhookName, EndpointCommand<'static>),
}

/// Returns where a record of partition `former` of the former inbox goes.
pub(super) fn destination<'a>(
    former: i32,
    (key, value): (Option<&[u8]>, &[u8]),
    header: impl Fn(&str) -> Option<&'a str>,
    partitions: u32,
) -> Destination {
    let spread = |number: i32| number.checked_rem(partitions.cast_signed()).unwrap_or(0);
    // The key of a forwarded record is its uuid.
    let by_key = || match key {
        Some(key) if !key.is_empty() => owner(key, partitions),
        Some(_) | None => spread(former),
    };
    let command = header(COMMAND_HEADER).and_then(|name| read_command(name, value).ok());
    Destination::Partition(match command {
        // One partition decides about the notices of an endpoint.
        Some(InboxCommand::About(webhook, EndpointCommand::Report(_))) => {
            notices_owner(&webhook, partitions).unwrap_or_else(by_key)
        }
        Some(InboxCommand::About(webhook, command)) => {
            return Destination::Endpoint(webhook, command);
        }
        Some(InboxCommand::Of(uuid, _)) => owner(uuid.as_str().as_bytes(), partitions),
        Some(InboxCommand::Note) => {
            let letter = header(LETTER_HEADER).and_then(read_place);
            letter.map_or_else(by_key, |(partition, _)| note_home(partition, partitions))
        }
        // A command that can't be read becomes a dead letter, like any other bad record.
        None => by_key(),
    })
}

/// The positions of the inputs, for the last transaction.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Placed {
    /// The positions in the meta row of each new partition.
    pub(super) rows: BTreeMap<i32, Vec<InputOffset>>,
    /// The group's offsets.
    pub(super) group: BTreeMap<TopicPartition, GroupOffset>,
}

/// Places `positions` for a changelog whose rows have these owners, by partition. `count` returns the number of an
/// input's partitions: if it is the number of the owners, each owner reads the input partition of its number.
pub(super) fn place(
    positions: impl IntoIterator<Item = InputOffset>,
    owners: &[Owner],
    count: impl Fn(&str) -> Option<u32>,
) -> Placed {
    let mut placed = Placed::default();
    for position in positions {
        let is_aligned = count(&position.topic).is_some_and(|it| it as usize == owners.len());
        let owner = usize::try_from(position.partition).ok().and_then(|index| owners.get(index));
        let owner = owner.filter(|_| is_aligned);
        let InputOffset { topic, partition, next_offset, topic_id, landmark } = position.clone();
        let changelog = owner.and_then(|owner| owner.changelog.clone());
        let offset = GroupOffset { offset: next_offset, topic: topic_id, changelog, landmark };
        placed.group.insert(TopicPartition { topic, partition }, offset);
        if owner.is_some() {
            placed.rows.entry(partition).or_default().push(position);
        }
    }
    placed
}

/// Returns the state of each endpoint in every new partition, from the states in the former partitions.
pub(super) fn merged(
    states: &BTreeMap<(i32, WebhookName), EndpointState>,
) -> BTreeMap<WebhookName, EndpointState> {
    let mut merged: BTreeMap<WebhookName, EndpointState> = BTreeMap::new();
    for ((_, webhook), state) in states {
        let known = merged.get(webhook).copied().unwrap_or_default();
        merged.insert(webhook.clone(), merge_endpoints([known, *state]));
    }
    merged.retain(|_, state| *state != EndpointState::default());
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::command::{
        DISABLE_ENDPOINT, ENABLE_ENDPOINT, RECORD_REPLAYED, REPLAY, REPORT_ENDPOINT,
        write_disable_endpoint, write_enable_endpoint, write_replay, write_report_endpoint,
    };
    use crate::codec::row::TopicId;
    use crate::domain::{
        AccountId, Delivery, DeliveryId, DisableCause, Disabled, Finding, Phase, PhononUuid,
        Source, Timestamp,
    };
    use bytes::Bytes;

    fn shown(
        former: i32,
        key: &str,
        value: &[u8],
        headers: &[(&str, &'static str)],
    ) -> Result<i32, WebhookName> {
        let header = |name: &str| headers.iter().find(|it| it.0 == name).map(|it| it.1);
        let key = (!key.is_empty()).then_some(key.as_bytes());
        match destination(former, (key, value), header, 5) {
            Destination::Partition(number) => Ok(number),
            Destination::Endpoint(webhook, _) => Err(webhook),
        }
    }

    fn crm() -> WebhookName {
        WebhookName::new("crm").unwrap()
    }

    #[test]
    fn forwarded_records_and_replays_go_to_the_owner_of_their_uuid() {
        let uuid = PhononUuid::new("u-1").unwrap();
        let own = owner(b"u-1", 5);
        let forwarded = [("ringback.kind", "flow_complete")];
        assert_eq!(shown(1, "u-1", b"{}", &forwarded), Ok(own));
        let at = Timestamp::from_ms(1);
        let source = Source {
            topic: "t".into(),
            partition: 0,
            offset: 1,
            timestamp: at,
            index: None,
            trace: None,
        };
        let id = DeliveryId::derive(&uuid, 1, []);
        let body = Bytes::from_static(b"{}");
        let delivery = Delivery::new(id, Phase::One, AccountId(1), crm(), body, source, at);
        let mut replay = Vec::new();
        write_replay(&mut replay, &uuid, &delivery);
        assert_eq!(shown(1, "other", &replay, &[(COMMAND_HEADER, REPLAY)]), Ok(own));
    }

    #[test]
    fn commands_about_endpoints_go_nowhere() {
        let mut enable = Vec::new();
        write_enable_endpoint(&mut enable, &crm());
        assert_eq!(shown(1, "crm", &enable, &[(COMMAND_HEADER, ENABLE_ENDPOINT)]), Err(crm()));
        let mut disable = Vec::new();
        let disabled = Disabled { at: Timestamp::from_ms(7), cause: DisableCause::Gone };
        write_disable_endpoint(&mut disable, &crm(), &disabled);
        assert_eq!(shown(1, "crm", &disable, &[(COMMAND_HEADER, DISABLE_ENDPOINT)]), Err(crm()));
    }

    #[test]
    fn findings_go_to_the_partition_that_decides_about_notices() {
        let mut report = Vec::new();
        write_report_endpoint(&mut report, &crm(), &Finding::DeadLetters(3));
        let owner = notices_owner(&crm(), 5).unwrap();
        let headers = [(COMMAND_HEADER, REPORT_ENDPOINT)];
        assert_eq!(shown(1, "crm", &report, &headers), Ok(owner));
        assert_ne!(shown(1, "crm", &report, &[]), Ok(owner), "the key does not name it");
    }

    #[test]
    fn notes_go_to_the_home_of_their_letter_and_bad_records_to_one_partition() {
        let note = [(COMMAND_HEADER, RECORD_REPLAYED), (LETTER_HEADER, "8:17")];
        assert_eq!(shown(1, "u-1", b"{}", &note), Ok(note_home(8, 5)));
        let bad = [(COMMAND_HEADER, "of a later version")];
        assert_eq!(shown(7, "u-1", b"{}", &bad), Ok(owner(b"u-1", 5)));
        assert_eq!(shown(7, "", b"{}", &bad), Ok(2));
        assert_eq!(shown(7, "", b"no header", &[]), Ok(2));
    }

    #[test]
    fn positions_of_inputs_with_as_many_partitions_stand_in_the_rows_too() {
        let position = |topic: &str, partition| InputOffset {
            topic: topic.into(),
            partition,
            next_offset: 7,
            topic_id: Some(TopicId::from(topic)),
            landmark: None,
        };
        let owners = ["a", "b", "c"]
            .map(|id| Owner { changelog: Some(TopicId::from(id)), ..Owner::default() });
        let count = |topic: &str| Some(if topic == "same" { 3 } else { 2 });
        let positions = [position("same", 2), position("other", 1), position("same", 0)];
        let Placed { rows, group } = place(positions, &owners, count);
        let wanted = [(0, vec![position("same", 0)]), (2, vec![position("same", 2)])];
        assert_eq!(rows, wanted.into());
        let changelogs = group.iter().map(|(place, offset)| {
            assert_eq!(
                (offset.offset, offset.topic.as_ref()),
                (7, Some(&TopicId::from(&*place.topic)))
            );
            (&*place.topic, place.partition, offset.changelog.as_ref().map(TopicId::as_str))
        });
        let wanted = [("other", 1, None), ("same", 0, Some("a")), ("same", 2, Some("c"))];
        assert_eq!(changelogs.collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn an_endpoint_has_one_state_in_all_new_partitions() {
        let at = Timestamp::from_ms;
        let failing = EndpointState { failing_since: Some(at(3)), ..EndpointState::default() };
        let disabled = Some(Disabled { at: at(9), cause: DisableCause::Failing });
        let disabled = EndpointState { disabled, ..EndpointState::default() };
        let other = WebhookName::new("other").unwrap();
        let states = [
            ((0, crm()), failing),
            ((1, crm()), disabled),
            ((2, crm()), EndpointState::default()),
            ((1, other), EndpointState::default()),
        ];
        let merged = merged(&states.into());
        assert_eq!(merged, [(crm(), merge_endpoints([failing, disabled]))].into());
    }
}
