//! Unknown accounts of records: each is looked up in the database before its record becomes a dead letter.
//!
//! The reader asks for each record, and keeps those of accounts that are not settled. An account is settled if it is
//! configured, if the database does not have it, or if the database could not be asked for too long. An account may be
//! stored a moment after its first record was sent. So one that the database does not have is looked up again after
//! [`GRACE`], and only then counts as missing. While it keeps missing, one look-up is enough each time.

use crate::clock;
use crate::config::Accounts;
use crate::domain::{AccountId, AccountPolicy};
use crate::log::AccountSource;
use imbl::OrdMap;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The time between the two look-ups of an account.
const GRACE: Duration = Duration::from_secs(2);
/// The time between two look-ups while the database can't be asked.
const FAILED_PAUSE: Duration = Duration::from_secs(1);
/// How long an account counts as missing after a record used the answer. Then it is looked up once more.
const MISSING_FOR: Duration = Duration::from_secs(3);
/// How long an answer holds that no record has used: a record with many accounts may wait for the last of them.
const UNUSED_FOR: Duration = Duration::from_secs(60);
/// The maximum number of accounts in one look-up.
const LOOK_UP_MAX: usize = 500;
/// The maximum number of accounts that wait for a look-up. Records of others wait, and ask again.
const WAITING_MAX: usize = 10_000;
/// The maximum number of accounts that are remembered as missing. If there are more, half of them are forgotten.
const MISSING_MAX: usize = 20_000;

/// The look-ups of accounts.
pub(super) struct LookUps {
    state: Mutex<State>,
    asked: Notify,
    /// How long a record waits while the database can't be asked.
    wait_max: Duration,
}

#[derive(Default)]
struct State {
    known: OrdMap<AccountId, AccountPolicy>,
    waiting: BTreeMap<AccountId, Waiting>,
    missing: BTreeMap<AccountId, Missing>,
    /// Whether the last look-up or reading failed.
    is_unanswered: bool,
}

/// An account that is being looked up.
#[derive(Clone, Copy)]
struct Waiting {
    since: Instant,
    /// When to look it up next.
    next: Instant,
    /// When the database answered for the first time that it does not have the account.
    answered: Option<Instant>,
}

/// An account that counts as missing.
#[derive(Clone, Copy)]
struct Missing {
    since: Instant,
    /// Whether a record used the answer. Until then it holds longer.
    is_used: bool,
    /// Whether it only counts as missing because the database could not be asked.
    is_given_up: bool,
}

impl LookUps {
    pub(super) fn new(wait_max: Duration) -> Self {
        Self { state: Mutex::default(), asked: Notify::new(), wait_max }
    }

    /// Uses other accounts from now on.
    pub(super) fn know(&self, accounts: &Accounts) {
        let mut state = self.state();
        state.known = accounts.accounts.clone();
        let State { known, waiting, missing, .. } = &mut *state;
        waiting.retain(|id, _| !known.contains_key(id));
        missing.retain(|id, _| !known.contains_key(id));
    }

    /// Waits for accounts to look up, and returns them. It is safe to cancel.
    pub(super) async fn next(&self) -> Vec<AccountId> {
        loop {
            let due = self.due(clock::instant());
            if !due.is_empty() {
                return due;
            }
            let next = self.state().waiting.values().map(|waiting| waiting.next).min();
            match next {
                Some(next) => {
                    drop(tokio::time::timeout_at(next.into(), self.asked.notified()).await)
                }
                None => self.asked.notified().await,
            }
        }
    }

    /// Returns the accounts whose look-up is due, those that have waited longest first.
    fn due(&self, now: Instant) -> Vec<AccountId> {
        let state = self.state();
        let due = state.waiting.iter().filter(|(_, waiting)| waiting.next <= now);
        let mut due: Vec<(Instant, AccountId)> = due.map(|(id, it)| (it.next, *id)).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, id)| id).take(LOOK_UP_MAX).collect()
    }

    /// Returns how many of these accounts are known.
    pub(super) fn known(&self, accounts: &[AccountId]) -> usize {
        let state = self.state();
        accounts.iter().filter(|id| state.known.contains_key(*id)).count()
    }

    /// Returns the accounts that have waited since a time before `at`. A reading of all rows that began then answers for
    /// them, too.
    pub(super) fn waiting_since(&self, at: Instant) -> Vec<AccountId> {
        let state = self.state();
        state.waiting.iter().filter(|(_, it)| it.since < at).map(|(id, _)| *id).collect()
    }

    /// Records that the database has answered for `accounts`, and that those which it has are known. Returns how many
    /// count as missing now.
    pub(super) fn answered(&self, accounts: &[AccountId]) -> usize {
        self.answered_at(accounts, clock::instant())
    }

    fn answered_at(&self, accounts: &[AccountId], now: Instant) -> usize {
        let mut state = self.state();
        let mut count = 0;
        for id in accounts {
            let Some(waiting) = state.waiting.get_mut(id) else { continue };
            let Some(answered) = waiting.answered else {
                (waiting.answered, waiting.next) = (Some(now), now + GRACE);
                continue;
            };
            if now < answered + GRACE {
                continue;
            }
            state.waiting.remove(id);
            let missing = Missing { since: now, is_used: false, is_given_up: false };
            state.missing.insert(*id, missing);
            count += 1;
        }
        state.is_unanswered = false;
        // Those that were given up while the database was unreachable are looked up again.
        state.missing.retain(|_, missing| !missing.is_given_up);
        state.forget();
        count
    }

    /// Records that the database could not be asked, neither for `accounts` nor for others.
    pub(super) fn failed(&self, accounts: &[AccountId]) {
        let next = clock::instant() + FAILED_PAUSE;
        let mut state = self.state();
        state.is_unanswered = true;
        for id in accounts {
            if let Some(waiting) = state.waiting.get_mut(id) {
                waiting.next = next;
            }
        }
    }

    fn are_settled_at(&self, accounts: &[AccountId], now: Instant) -> bool {
        let mut state = self.state();
        let mut are_settled = true;
        for account in accounts {
            are_settled &= self.is_settled(&mut state, *account, now);
        }
        if are_settled {
            for account in accounts {
                if let Some(missing) = state.missing.get_mut(account) {
                    missing.is_used = true;
                }
            }
        }
        are_settled
    }

    fn is_settled(&self, state: &mut State, account: AccountId, now: Instant) -> bool {
        if state.known.contains_key(&account) {
            return true;
        }
        let mut missing_since = None;
        if let Some(missing) = state.missing.get(&account) {
            let age = now.saturating_duration_since(missing.since);
            let limit = if missing.is_used { MISSING_FOR } else { UNUSED_FOR };
            if missing.is_given_up || age < limit {
                return true;
            }
            missing_since = (age < UNUSED_FOR).then_some(missing.since);
            state.missing.remove(&account);
        }
        let since = match state.waiting.get(&account) {
            Some(waiting) => waiting.since,
            None if state.waiting.len() >= WAITING_MAX => return false,
            None => {
                let answered = missing_since.filter(|since| *since + GRACE <= now);
                let waiting = Waiting { since: now, next: now, answered };
                state.waiting.insert(account, waiting);
                self.asked.notify_one();
                now
            }
        };
        if state.is_unanswered && now.saturating_duration_since(since) >= self.wait_max {
            state.waiting.remove(&account);
            let given_up = Missing { since: now, is_used: true, is_given_up: true };
            state.missing.insert(account, given_up);
            state.forget();
            return true;
        }
        false
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets the older half of the missing accounts if there are too many, those whose answers were used first.
    fn forget(&mut self) {
        if self.missing.len() <= MISSING_MAX {
            return;
        }
        let key = |id: &AccountId, missing: &Missing| (!missing.is_used, missing.since, *id);
        let mut keys: Vec<_> = self.missing.iter().map(|(id, missing)| key(id, missing)).collect();
        let middle = keys.len() / 2;
        let (_, median, _) = keys.select_nth_unstable(middle);
        self.missing.retain(|id, missing| key(id, missing) > *median);
    }
}

impl AccountSource for LookUps {
    fn are_settled(&self, accounts: &[AccountId]) -> bool {
        self.are_settled_at(accounts, clock::instant())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(60);
    const ACCOUNT: AccountId = AccountId(7);

    #[test]
    fn an_unknown_account_is_looked_up_twice_before_it_counts_as_missing() {
        let look_ups = LookUps::new(WAIT);
        let now = clock::instant();
        assert!(!look_ups.are_settled_at(&[ACCOUNT], now), "it is looked up first");
        assert_eq!(look_ups.due(now), [ACCOUNT]);
        assert_eq!(look_ups.answered_at(&[ACCOUNT], now), 0);
        assert!(!look_ups.are_settled_at(&[ACCOUNT], now) && look_ups.due(now).is_empty());
        let again = now + GRACE;
        assert_eq!(look_ups.due(again), [ACCOUNT]);
        assert_eq!(look_ups.answered_at(&[ACCOUNT], again), 1);
        let late = again + MISSING_FOR * 2;
        assert!(
            look_ups.are_settled_at(&[ACCOUNT], late),
            "the answer holds for the record that waited"
        );
        assert!(
            look_ups.are_settled_at(&[ACCOUNT], again + MISSING_FOR / 2),
            "and for a moment for others"
        );
        assert!(!look_ups.are_settled_at(&[ACCOUNT], late), "then the account is looked up again");
        assert_eq!(look_ups.due(late), [ACCOUNT]);
        assert_eq!(look_ups.answered_at(&[ACCOUNT], late), 1, "and one look-up is enough");
        let days = late + Duration::from_secs(86_400);
        assert!(!look_ups.are_settled_at(&[ACCOUNT], days), "no answer holds for ever");
        assert_eq!(look_ups.answered_at(&[ACCOUNT], days), 0, "a day later, two are needed again");
    }

    #[test]
    fn the_answers_for_a_record_with_many_accounts_hold_until_the_last_one_is_there() {
        let look_ups = LookUps::new(WAIT);
        let now = clock::instant();
        let accounts: Vec<_> = (0..3 * LOOK_UP_MAX as i64).map(AccountId).collect();
        let (mut at, mut asked) = (now, 0);
        while !look_ups.are_settled_at(&accounts, at) {
            let due = look_ups.due(at);
            asked += due.len();
            look_ups.answered_at(&due, at);
            at += Duration::from_secs(1);
            assert!(at < now + UNUSED_FOR, "the record waits for ever");
        }
        assert_eq!(asked, 2 * accounts.len(), "each is looked up twice, and not again");
    }

    #[test]
    fn a_reading_of_all_rows_answers_for_accounts_that_waited_before_it_began() {
        let look_ups = LookUps::new(WAIT);
        let now = clock::instant();
        assert!(!look_ups.are_settled_at(&[ACCOUNT], now));
        assert_eq!(look_ups.waiting_since(now), []);
        assert_eq!(look_ups.waiting_since(now + GRACE), [ACCOUNT]);
    }

    #[test]
    fn an_account_that_becomes_known_is_settled_at_once() {
        let look_ups = LookUps::new(WAIT);
        let now = clock::instant();
        assert!(!look_ups.are_settled_at(&[ACCOUNT], now));
        let mut accounts = Accounts::default();
        accounts.accounts.insert(ACCOUNT, AccountPolicy::default());
        look_ups.know(&accounts);
        assert!(look_ups.are_settled_at(&[ACCOUNT], now) && look_ups.due(now + WAIT).is_empty());
    }

    #[test]
    fn an_account_waits_while_the_database_can_not_be_asked_and_not_longer_than_allowed() {
        let look_ups = LookUps::new(WAIT);
        let now = clock::instant();
        assert!(!look_ups.are_settled_at(&[ACCOUNT], now));
        look_ups.failed(&[ACCOUNT]);
        assert!(look_ups.due(now).is_empty() && look_ups.due(now + 2 * FAILED_PAUSE) == [ACCOUNT]);
        assert!(!look_ups.are_settled_at(&[ACCOUNT], now + WAIT - Duration::from_secs(1)));
        assert!(look_ups.are_settled_at(&[ACCOUNT], now + WAIT));
        let later = now + WAIT + MISSING_FOR * 2;
        assert!(
            look_ups.are_settled_at(&[ACCOUNT], later),
            "other records do not wait as long again"
        );
        look_ups.answered_at(&[], later);
        assert!(!look_ups.are_settled_at(&[ACCOUNT], later), "the database answers, and is asked");
    }

    #[test]
    fn the_number_of_accounts_that_wait_and_that_are_missing_is_limited() {
        let look_ups = LookUps::new(WAIT);
        let now = clock::instant();
        let accounts: Vec<_> = (0..2 * WAITING_MAX as i64).map(AccountId).collect();
        assert!(!accounts.iter().any(|account| look_ups.are_settled_at(&[*account], now)));
        assert_eq!(look_ups.state().waiting.len(), WAITING_MAX);
        assert_eq!(look_ups.due(now).len(), LOOK_UP_MAX);
        look_ups.answered_at(&accounts, now);
        look_ups.answered_at(&accounts, now + GRACE);
        assert!(!look_ups.are_settled_at(&[accounts[WAITING_MAX]], now));
        look_ups.answered_at(&accounts, now);
        look_ups.answered_at(&accounts, now + GRACE);
        let missing = look_ups.state().missing.len();
        assert!((MISSING_MAX / 2..=MISSING_MAX).contains(&missing), "{missing}");
    }
}
