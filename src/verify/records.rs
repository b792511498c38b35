//! Takes the records of the inputs.

use super::Evidence;
use super::ledger::{self, Entry};
use crate::codec::source::{Bad, Decoded, Decoder, ItemContent};
use crate::domain::{Header, PhononUuid, RecordKind};

impl Evidence {
    /// Takes a record of an input. Of an array, takes each item. `headers` returns the producer's headers.
    pub(super) fn input(
        &mut self,
        entry: Entry,
        key: Option<&[u8]>,
        payload: &[u8],
        headers: &dyn Fn() -> Vec<Header>,
    ) {
        let kind = self.layout.inputs.get(entry.0.0).and_then(|input| input.kind);
        let decoder = &mut self.decoder;
        let Some(kind) = kind.filter(|kind| may_hold_other(*kind, decoder, payload)) else {
            let mut uuid = || mark(decoder.decode_with(kind?, payload, &headers()));
            self.ledgers.record(entry, key, false, &mut uuid);
            return;
        };
        match decoder.decode_with(kind, payload, &headers()) {
            Decoded::Items(items) => {
                self.ledgers.record(entry, key, true, &mut || None);
                for (item, index) in items.into_iter().zip(0_u32..) {
                    let entry = ledger::item(entry, Some(index));
                    let (wordless, mark) = match item.content {
                        ItemContent::Report(report) => (false, Some(mark_of(&report.uuid))),
                        ItemContent::Bad(bad) => (is_hidden(&bad, &self.decoder), None),
                        ItemContent::Skipped => (true, None),
                    };
                    self.ledgers.record(entry, None, wordless, &mut || mark);
                }
            }
            // The content of an envelope can't be known without the registry.
            Decoded::Skipped | Decoded::NeedsSchema(_) => {
                self.ledgers.record(entry, key, true, &mut || None);
            }
            Decoded::Bad(bad) => {
                let wordless = is_hidden(&bad, decoder);
                self.ledgers.record(entry, key, wordless, &mut || None);
            }
            decoded @ (Decoded::Start(_) | Decoded::Flow(_) | Decoded::Report(_)) => {
                self.ledgers.record(entry, key, false, &mut || mark(decoded.clone()));
            }
        }
    }
}

/// Returns whether a record may be another thing than one source event.
fn may_hold_other(kind: RecordKind, decoder: &Decoder, payload: &[u8]) -> bool {
    let is_single = payload.trim_ascii_start().first() == Some(&b'{');
    decoder.unwraps() || kind == RecordKind::Report && !is_single
}

/// Returns whether a record may hold an envelope that only a schema of the registry opens. The daemon may have skipped
/// it.
fn is_hidden(bad: &Bad, decoder: &Decoder) -> bool {
    bad.is_unknown_schema() && decoder.unwraps()
}

/// Returns the mark of a record's uuid. `None` if the record can't be read without a registry.
fn mark(decoded: Decoded) -> Option<u8> {
    match decoded {
        Decoded::Start(start) => Some(mark_of(&start.uuid)),
        Decoded::Flow(flow) => Some(mark_of(&flow.uuid)),
        Decoded::Report(report) => Some(mark_of(&report.uuid)),
        Decoded::Items(_) | Decoded::Skipped | Decoded::NeedsSchema(_) | Decoded::Bad(_) => None,
    }
}

fn mark_of(uuid: &PhononUuid) -> u8 {
    ledger::mark_of(uuid.as_str().as_bytes())
}
