//! Formats the findings as text.

use crate::codec::event::rfc3339;
use crate::inspect::verification::Verification;
use crate::store::Aside;
use crate::telemetry::escape::one_line;
use crate::verify::{Counts, Violation};

/// Returns the lines to print.
pub(super) fn lines(found: &Verification) -> Vec<String> {
    let Verification { report, set_aside } = found;
    let mut lines: Vec<String> = report.violations.iter().map(line).collect();
    let count = report.violations.len() as u64 + report.more;
    if report.more > 0 {
        lines.push(format!("and {} more", report.more));
    }
    lines.push(match count {
        0 => "no violation".to_owned(),
        1 => "1 violation".to_owned(),
        more => format!("{more} violations"),
    });
    lines.extend(report.notes.iter().map(|note| format!("note: {}", one_line(note))));
    lines.extend(summary(&report.counts));
    lines.extend(set_aside.iter().map(aside));
    lines
}

fn aside(Aside { path, why, at }: &Aside) -> String {
    let path = one_line(&path.display().to_string()).into_owned();
    format!("set aside: {path}, {} since {}", why.as_str(), rfc3339(*at))
}

fn line(violation: &Violation) -> String {
    let mut line = violation.what.as_str().to_owned();
    let mut say = |text: String| {
        line.push_str("  ");
        line.push_str(&text);
    };
    if let Some(uuid) = &violation.uuid {
        say(one_line(uuid).into_owned());
    }
    if let Some(id) = violation.webhook_id {
        say(id.to_string());
    }
    if let Some(place) = place(violation) {
        say(place);
    }
    format!("{line}: {}", one_line(&violation.says))
}

/// Returns `TOPIC PARTITION:OFFSET`, as far as these are known.
fn place(violation: &Violation) -> Option<String> {
    let partition = violation.partition?;
    Some(match (&violation.topic, violation.offset) {
        (Some(topic), Some(offset)) => format!("{} {partition}:{offset}", one_line(topic)),
        (Some(topic), None) => format!("{} {partition}", one_line(topic)),
        (None, _) => format!("partition {partition}"),
    })
}

fn summary(counts: &Counts) -> Vec<String> {
    let mut lines = vec![
        format!("inputs: {} records, {} of them not read yet", counts.records, counts.unread),
        format!(
            "events: {}; {} deliveries scheduled, {} attempts failed, {} delivered, {} became dead letters, {} replayed",
            counts.events,
            counts.scheduled,
            counts.failed,
            counts.delivered,
            counts.given_up,
            counts.replayed
        ),
        format!("dead letters: {}", counts.dead_letters),
        format!(
            "changelog: {} records; {} uuids known, {} with a row, {} that changed while reading",
            counts.changelog, counts.uuids, counts.rows, counts.moving
        ),
        format!(
            "store: {} partitions compared, {} rows",
            counts.store_partitions, counts.store_rows
        ),
    ];
    if counts.requests > 0 {
        lines.push(format!(
            "receiver: {} requests, {} of them repeated",
            counts.requests, counts.repeats
        ));
    }
    lines
}
