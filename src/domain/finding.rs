//! Notices to the owner of an endpoint: it fails, is held, is disabled, has dead letters, or works again.
//!
//! A partition sees only its own deliveries. So it reports each *finding* about an endpoint to the partition that owns
//! the notices of the endpoint. This partition decides whether a notice is sent: at most one of each kind per hour,
//! whichever partitions and instances report.

use super::{
    DeliveryId, DisableCause, EndpointEvent, EndpointState, PhononUuid, Source, Timestamp,
    WebhookName, owner,
};

/// The shortest time between two notices of one kind about one endpoint.
pub const NOTICE_INTERVAL_MS: u64 = 3_600_000;
/// The time after which a partition reports a failure that goes on once more. The partition that decides may have
/// ignored the first report, because it had sent a notice shortly before.
const REPORT_INTERVAL_MS: u64 = 300_000;

/// An account's wish for notices about its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticePolicy {
    /// The webhook of the account that gets the notices. There are no notices about its own endpoint.
    pub webhook: WebhookName,
    /// How long an endpoint fails, or is held, before there is a notice.
    pub after_ms: u64,
    /// The number of dead letters within an hour from which on there is a notice.
    pub dead_letters: u32,
}

/// A fact about an endpoint for its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// All attempts have failed for a while.
    Failing { since: Timestamp },
    /// The endpoint asked for a long pause, or asks for one after another.
    Held { until: Timestamp },
    /// Deliveries become dead letters until an operator enables the endpoint.
    Disabled { at: Timestamp, cause: DisableCause },
    /// This number of deliveries became dead letters.
    DeadLetters(u32),
    /// The endpoint works again.
    Recovered {
        /// Whether an operator has enabled it; otherwise a delivery succeeded.
        enabled: bool,
    },
}

/// The kind of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    Failing,
    Held,
    Disabled,
    DeadLetters,
    Recovered,
}

impl FindingKind {
    /// All variants, in declaration order.
    pub const ALL: [Self; 5] =
        [Self::Failing, Self::Held, Self::Disabled, Self::DeadLetters, Self::Recovered];

    /// Returns the word that notices use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Held => "held",
            Self::Disabled => "disabled",
            Self::DeadLetters => "dead_letters",
            Self::Recovered => "recovered",
        }
    }

    /// Returns the kind that `word` names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Finding {
    /// Returns the kind of the finding.
    #[must_use]
    pub const fn kind(&self) -> FindingKind {
        match self {
            Self::Failing { .. } => FindingKind::Failing,
            Self::Held { .. } => FindingKind::Held,
            Self::Disabled { .. } => FindingKind::Disabled,
            Self::DeadLetters(_) => FindingKind::DeadLetters,
            Self::Recovered { .. } => FindingKind::Recovered,
        }
    }
}

/// The last finding that a partition reported, while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    pub kind: FindingKind,
    pub at: Timestamp,
}

/// The notices about an endpoint, in the partition that decides about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Notices {
    /// When the last notice of each kind was due.
    pub failing: Option<Timestamp>,
    pub held: Option<Timestamp>,
    pub disabled: Option<Timestamp>,
    pub dead_letters: Option<Timestamp>,
    pub recovered: Option<Timestamp>,
    /// The newest failure that the owner knows of, until the owner gets a notice of its end.
    pub open: Option<FindingKind>,
    /// The dead letters since the last notice about them.
    pub letters: Option<Letters>,
}

/// Dead letters that are counted for a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letters {
    pub count: u32,
    /// The time of the first one.
    pub since: Timestamp,
}

impl Notices {
    /// Returns when the last notice of this kind was due.
    #[must_use]
    pub const fn last(&self, kind: FindingKind) -> Option<Timestamp> {
        match kind {
            FindingKind::Failing => self.failing,
            FindingKind::Held => self.held,
            FindingKind::Disabled => self.disabled,
            FindingKind::DeadLetters => self.dead_letters,
            FindingKind::Recovered => self.recovered,
        }
    }

    fn last_mut(&mut self, kind: FindingKind) -> &mut Option<Timestamp> {
        match kind {
            FindingKind::Failing => &mut self.failing,
            FindingKind::Held => &mut self.held,
            FindingKind::Disabled => &mut self.disabled,
            FindingKind::DeadLetters => &mut self.dead_letters,
            FindingKind::Recovered => &mut self.recovered,
        }
    }

    /// Returns the notices that were decided later.
    pub(super) fn merged(self, other: Self) -> Self {
        let newest =
            |notices: &Self| FindingKind::ALL.iter().filter_map(|it| notices.last(*it)).max();
        let newest =
            |notices: &Self| newest(notices).max(notices.letters.map(|letters| letters.since));
        if newest(&other) > newest(&self) { other } else { self }
    }

    /// Returns when the next notice of this kind may be due.
    fn next(&self, kind: FindingKind, now: Timestamp) -> Timestamp {
        let next = self.last(kind).map(|last| last.plus_ms(NOTICE_INTERVAL_MS));
        next.map_or(now, |next| next.max(now))
    }

    /// Returns the notices after one with `finding` that is due at `due`.
    pub(super) fn sent(mut self, finding: &Finding, due: Timestamp) -> Self {
        let kind = finding.kind();
        *self.last_mut(kind) = Some(due);
        match kind {
            FindingKind::Failing | FindingKind::Held | FindingKind::Disabled => {
                self.open = Some(kind);
            }
            FindingKind::Recovered => self.open = None,
            FindingKind::DeadLetters => self.letters = None,
        }
        self
    }
}

/// The occasion on which a partition may find something about an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// An operator has enabled it.
    Enabled,
    Delivered,
    /// An attempt failed, and the delivery is retried.
    Retried,
    /// An attempt failed for good. The endpoint may accept other deliveries.
    Refused,
}

/// Returns the event of the finding that a partition reports after `occasion` has changed the endpoint from `before` to
/// `after`.
#[must_use]
pub(super) fn find(
    before: &EndpointState,
    after: &EndpointState,
    occasion: Occasion,
    policy: &NoticePolicy,
    now: Timestamp,
) -> Option<EndpointEvent> {
    let is_reported = before.reported.is_some();
    let was_disabled = before.disabled.is_some();
    let finding = match (after.disabled, occasion) {
        (Some(_), _) if was_disabled => return None,
        (Some(disabled), _) => Finding::Disabled { at: disabled.at, cause: disabled.cause },
        // An endpoint that was not disabled has not answered yet.
        (None, Occasion::Enabled) if was_disabled && is_reported => {
            Finding::Recovered { enabled: true }
        }
        (None, Occasion::Enabled) => return None,
        (None, Occasion::Delivered) if is_reported => Finding::Recovered { enabled: false },
        (None, Occasion::Delivered) => return None,
        (None, Occasion::Retried | Occasion::Refused) => match going_on(after, policy, now) {
            // One refusal long after another does not show that everything fails.
            Some(Finding::Failing { .. }) if occasion == Occasion::Refused => return None,
            Some(finding) => finding,
            // A success in another partition ended the failure, and another failure has begun.
            None if is_reported
                && before.failing_since.is_some()
                && after.failing_since != before.failing_since =>
            {
                Finding::Recovered { enabled: false }
            }
            None => return None,
        },
    };
    let is_repeated = |reported: &Reported| {
        reported.kind == finding.kind() && now.ms_since(reported.at) < REPORT_INTERVAL_MS
    };
    let is_new = !before.reported.as_ref().is_some_and(is_repeated);
    is_new.then_some(EndpointEvent::Reported { finding, at: now })
}

/// Returns the finding about an endpoint that is not disabled.
fn going_on(state: &EndpointState, policy: &NoticePolicy, now: Timestamp) -> Option<Finding> {
    let fails_for_long =
        state.failing_since.filter(|since| now.ms_since(*since) >= policy.after_ms);
    let held_until = state.held_until.filter(|until| *until > now);
    match (held_until, fails_for_long) {
        (Some(until), since) if since.is_some() || until.ms_since(now) >= policy.after_ms => {
            Some(Finding::Held { until })
        }
        (_, since) => since.map(|since| Finding::Failing { since }),
    }
}

/// Returns the event that a reported finding causes in the partition that decides about the notices.
#[must_use]
pub(super) fn decide_notice(
    notices: &Notices,
    finding: Finding,
    policy: &NoticePolicy,
    now: Timestamp,
) -> Option<EndpointEvent> {
    let kind = finding.kind();
    let next = notices.next(kind, now);
    let is_free = next == now;
    let is_known_disabled = notices.open == Some(FindingKind::Disabled)
        && notices.next(FindingKind::Disabled, now) != now;
    let due = match finding {
        // The endpoint fails for a reason that its owner knows.
        Finding::Failing { .. } | Finding::Held { .. } => {
            (is_free && !is_known_disabled).then_some(now)?
        }
        // These are not reported again, so they are sent later and not left out.
        Finding::Disabled { .. } => (!is_known_disabled).then_some(next)?,
        // A delivery may succeed just before its partition learns that the endpoint is disabled.
        Finding::Recovered { enabled: false } if notices.open == Some(FindingKind::Disabled) => {
            return None;
        }
        Finding::Recovered { .. } => {
            let of = notices.last(notices.open?);
            of.map_or(next, |of| of.max(next))
        }
        Finding::DeadLetters(more) => return Some(letters(notices, more, policy, now)),
    };
    Some(EndpointEvent::NoticeDue { finding, due })
}

/// Counts dead letters. Those that reach the threshold within an hour of a notice get theirs when the hour is over, and
/// later ones count for the next.
fn letters(notices: &Notices, more: u32, policy: &NoticePolicy, now: Timestamp) -> EndpointEvent {
    let counts = |letters: &Letters| now.ms_since(letters.since) < NOTICE_INTERVAL_MS;
    let before = notices.letters.filter(counts).unwrap_or(Letters { count: 0, since: now });
    let letters = Letters { count: before.count.saturating_add(more), ..before };
    let waits = notices.dead_letters.is_some_and(|due| due > now);
    if letters.count < policy.dead_letters || waits {
        return EndpointEvent::LettersCounted(letters);
    }
    let due = notices.next(FindingKind::DeadLetters, now);
    EndpointEvent::NoticeDue { finding: Finding::DeadLetters(letters.count), due }
}

/// Returns the id of the row that has the notices about an endpoint, in place of a phonon-uuid.
#[must_use]
pub fn notices_id(webhook: &WebhookName) -> Option<PhononUuid> {
    PhononUuid::new(&format!("ringback:notices:{webhook}"))
}

/// Returns the partition that decides about the notices of an endpoint, of `partitions`.
#[must_use]
pub fn notices_owner(webhook: &WebhookName, partitions: u32) -> Option<i32> {
    notices_id(webhook).map(|id| owner(id.as_str().as_bytes(), partitions))
}

/// Returns the id of the delivery with the notice that the report at `source` causes.
#[must_use]
pub fn notice_delivery_id(id: &PhononUuid, source: &Source) -> DeliveryId {
    let place = format!("{}:{}", source.partition, source.offset);
    DeliveryId::of_rule(id, ["notice", source.topic.as_ref(), &place])
}
