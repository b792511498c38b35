//! The result of a record that was sent back from the dead letters.

use super::{open, source};
use crate::domain::{AccountId, PhononUuid, Source, Timestamp};

/// The result of a record that was sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// The record was accepted. The results of its webhooks are in their own events.
    Accepted,
    /// The record changed nothing. Another event contains the reason.
    Ignored,
    /// The record became a dead letter again.
    DeadLettered,
}

impl Became {
    /// All variants, in declaration order.
    pub const ALL: [Self; 3] = [Self::Accepted, Self::Ignored, Self::DeadLettered];

    /// Returns the word that events use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Ignored => "ignored",
            Self::DeadLettered => "dead_lettered",
        }
    }
}

/// Appends the event `record_replayed`. `about` is the uuid and the account that the record names, if any.
pub fn write_record_replayed(
    out: &mut Vec<u8>,
    about: Option<(&PhononUuid, Option<AccountId>)>,
    at: Timestamp,
    letter: &str,
    record: &Source,
    became: Became,
) {
    let (uuid, account) = about.map_or((None, None), |(uuid, account)| (Some(uuid), account));
    let mut object = open(out, "record_replayed", uuid, account, at);
    object.text("letter", letter);
    source(&mut object, record);
    object.text("became", became.as_str());
    object.close();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::event::{Fact, read_notice};

    #[test]
    fn the_result_of_a_sent_back_record_reads_back_as_it_was_written() {
        let at = Timestamp::from_ms(1_697_696_721_042);
        let record = Source {
            topic: "flow-complete".into(),
            partition: 1,
            offset: 9,
            timestamp: at,
            index: None,
            trace: None,
        };
        let uuid = PhononUuid::new("u-1").unwrap();
        for became in Became::ALL {
            for about in [None, Some((&uuid, Some(AccountId(28))))] {
                let mut out = Vec::new();
                write_record_replayed(&mut out, about, at, "3:17", &record, became);
                let notice = read_notice(&out).unwrap();
                assert_eq!(notice.fact, Fact::RecordReplayed { letter: (3, 17), became });
            }
        }
    }
}
