//! Rows of endpoints.

use super::{of, schema, through_library};
use crate::codec::row::{ENDPOINT_SCHEMA, decode_endpoint, encode_endpoint};
use crate::domain::{
    DisableCause, Disabled, EndpointState, FindingKind, Letters, Notices, Reported, Timestamp,
};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;

proptest! {
    #[test]
    fn every_endpoint_row_round_trips_and_the_library_agrees(
        failing in of(any::<i64>()), held in of(any::<i64>()),
        disabled in of((any::<i64>(), select(DisableCause::ALL.to_vec()))),
        reported in of((select(FindingKind::ALL.to_vec()), any::<i64>())),
        notices in of((
            proptest::array::uniform5(of(any::<i64>())),
            of(select(FindingKind::ALL.to_vec())),
            of((any::<u32>(), any::<i64>())),
        )),
    ) {
        let time = Timestamp::from_ms;
        let endpoint = EndpointState {
            failing_since: failing.map(time),
            held_until: held.map(time),
            disabled: disabled.map(|(at, cause)| Disabled { at: time(at), cause }),
            reported: reported.map(|(kind, at)| Reported { kind, at: time(at) }),
            notices: notices.map_or_else(Notices::default, |(times, open, letters)| {
                let [failing, held, disabled, dead_letters, recovered] =
                    times.map(|it| it.map(time));
                let letters =
                    letters.map(|(count, since)| Letters { count, since: time(since) });
                Notices { failing, held, disabled, dead_letters, recovered, open, letters }
            }),
        };
        let mut row = Vec::new();
        encode_endpoint(&endpoint, &mut row);
        let row = Bytes::from(row);
        prop_assert_eq!(decode_endpoint(&row).unwrap(), endpoint);
        let (value, again) = through_library(&row, &schema(&ENDPOINT_SCHEMA).schema);
        prop_assert_eq!(&again, &row);
        if let Some(reported) = endpoint.reported {
            let symbol = format!("Enum({}, {:?})", reported.kind as u8, reported.kind.as_str());
            let named = format!("{value:?}").contains(&symbol);
            prop_assert!(named);
        }
        if let Some(disabled) = endpoint.disabled {
            let symbol = disabled.cause.as_str();
            let named = format!("{value:?}").contains(symbol);
            prop_assert!(named);
        }
    }
}
