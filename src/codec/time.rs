//! Writes times as RFC 3339, and parses them.

use crate::domain::Timestamp;
use crate::json::Object;
use jiff::fmt::temporal::DateTimePrinter;

/// Appends `ts` as RFC 3339 in UTC with milliseconds, such as `2023-10-19T06:25:21.000Z`.
pub fn write_rfc3339(out: &mut Vec<u8>, ts: Timestamp) {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    // A time that means never is the largest number of milliseconds, which is outside the calendar.
    let shown = calendar(ts).unwrap_or(if ts.as_ms() < 0 {
        jiff::Timestamp::MIN
    } else {
        jiff::Timestamp::MAX
    });
    let start = out.len();
    if PRINTER.print_timestamp(&shown, &mut *out).is_err() {
        out.truncate(start);
    }
}

/// Seconds and fraction are passed separately. With milliseconds alone, the calendar refuses most of its last second.
fn calendar(ts: Timestamp) -> Option<jiff::Timestamp> {
    let (seconds, ms) = (ts.as_ms().div_euclid(1000), ts.as_ms().rem_euclid(1000));
    jiff::Timestamp::new(seconds, i32::try_from(ms * 1_000_000).ok()?).ok()
}

/// Returns `ts` in the form that [`write_rfc3339`] writes.
#[must_use]
pub fn rfc3339(ts: Timestamp) -> String {
    let mut out = Vec::with_capacity(24);
    write_rfc3339(&mut out, ts);
    String::from_utf8(out).unwrap_or_default()
}

/// Parses a time in RFC 3339 with any offset.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp::from_ms(at.as_millisecond()))
}

/// Members of a JSON object that are times.
pub(super) trait TimeMembers {
    /// Writes `value` in the form of [`write_rfc3339`].
    fn time(&mut self, name: &str, value: Timestamp);

    /// Writes an unknown time as `null`, so that readers do not have to handle an absent member.
    fn time_or_null(&mut self, name: &str, value: Option<Timestamp>);
}

impl TimeMembers for Object<'_> {
    fn time(&mut self, name: &str, value: Timestamp) {
        let out = self.name(name);
        out.push(b'"');
        write_rfc3339(out, value);
        out.push(b'"');
    }

    fn time_or_null(&mut self, name: &str, value: Option<Timestamp>) {
        match value {
            Some(value) => self.time(name, value),
            None => self.name(name).extend_from_slice(b"null"),
        }
    }
}
