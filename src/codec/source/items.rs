//! Takes an array of records in one record apart.

use super::{Bad, Decoded, json_fault};
use crate::domain::DeliveryReport;
use crate::json::scan;
use bytes::Bytes;
use std::ops::Range;

/// The largest number of records in an array.
const ITEMS_MAX: usize = 10_000;

/// One record of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The item as it is spelt in the array.
    pub raw: Bytes,
    pub content: ItemContent,
}

/// The result of decoding an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemContent {
    Report(Box<DeliveryReport>),
    /// It says nothing that concerns the daemon.
    Skipped,
    Bad(Bad),
}

impl Item {
    pub(super) fn new(raw: &[u8], decoded: Decoded) -> Self {
        if let Decoded::Report(report) = decoded {
            // The report has a copy of the item already.
            let raw = report.raw.clone().unwrap_or_else(|| report.body.clone());
            return Self { raw, content: ItemContent::Report(report) };
        }
        let content = match decoded {
            Decoded::Report(report) => ItemContent::Report(report),
            Decoded::Skipped => ItemContent::Skipped,
            Decoded::Bad(bad) => ItemContent::Bad(bad),
            Decoded::Items(_) | Decoded::Start(_) | Decoded::Flow(_) | Decoded::NeedsSchema(_) => {
                ItemContent::Bad(Bad::undecodable("the item of the array is no delivery report"))
            }
        };
        Self { raw: Bytes::copy_from_slice(raw), content }
    }
}

/// Returns the ranges of the items in the JSON array `text`.
pub(super) fn split(text: &[u8]) -> Result<Vec<Range<usize>>, Bad> {
    let ranges = scan::items(text, ITEMS_MAX + 1).map_err(json_fault)?;
    let is_object = |range: &Range<usize>| text.get(range.start) == Some(&b'{');
    if !ranges.iter().any(is_object) {
        return Err(Bad::undecodable("the array holds no delivery report"));
    }
    if ranges.len() > ITEMS_MAX {
        return Err(Bad::undecodable(format!(
            "the array holds more than {ITEMS_MAX} delivery reports"
        )));
    }
    Ok(ranges)
}
