//! What a cache has used since it started: the sum of all workers' counters, and stored bytes over time.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use swell_engine::commands::table::{Command, tables};
use swell_engine::spec::CommandId;

use crate::counters::Usage;
use crate::parts::Parts;

/// Bytes in a gigabyte, as clouds bill them.
pub const GIGABYTE: u64 = 1 << 30;
const HOUR_MS: u64 = 3_600_000;

/// One cache's usage. Touched by drains and readers only, some ten times a second.
#[derive(Debug)]
pub struct Ledger {
    state: Mutex<State>,
    started_at_ms: u64,
    waker: OnceLock<Waker>,
}

/// A copy of the ledger at one moment.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Unix milliseconds from which on usage was counted.
    pub from_ms: u64,
    /// Unix milliseconds of the copy.
    pub to_ms: u64,
    /// Stored bytes over time, in gigabytes (2^30 bytes) for an hour.
    pub gigabyte_hours: f64,
    /// The same with every hour's average raised to the minimum; hours that are not over count for their part.
    pub gigabyte_hours_metered: f64,
    /// Stored bytes over time, bytes times milliseconds.
    pub stored_byte_ms: u128,
    rows: Box<[Usage]>,
}

#[derive(Debug)]
struct State {
    rows: Box<[Usage]>,
    /// Since they were taken last.
    parts: Parts,
    stored: Stored,
}

/// Stored bytes over time. Between two observations the earlier one holds.
#[derive(Clone, Debug)]
struct Stored {
    minimum_bytes: u64,
    bytes: u64,
    observed_at_ms: u64,
    byte_ms: u128,
    /// Of hours that are over.
    metered_byte_ms: u128,
    /// Of the hour that `observed_at_ms` lies in.
    hour_byte_ms: u128,
    hour_ms: u64,
}

impl Ledger {
    /// An empty ledger. `now_ms`: Unix milliseconds. `minimum_stored_bytes`: what every hour is metered for at least,
    /// see [`crate::PriceFile::minimum_stored_bytes`].
    pub fn new(now_ms: u64, minimum_stored_bytes: u64) -> Ledger {
        let rows = vec![Usage::default(); tables().len()].into();
        let stored = Stored {
            minimum_bytes: minimum_stored_bytes,
            bytes: 0,
            observed_at_ms: now_ms,
            byte_ms: 0,
            metered_byte_ms: 0,
            hour_byte_ms: 0,
            hour_ms: 0,
        };
        Ledger {
            state: Mutex::new(State { rows, parts: Parts::default(), stored }),
            started_at_ms: now_ms,
            waker: OnceLock::new(),
        }
    }

    /// Unix milliseconds from which on usage is counted.
    pub fn started_at_ms(&self) -> u64 {
        self.started_at_ms
    }

    /// Says how many bytes are stored now (`now_ms`: Unix milliseconds); several times a minute. A clock that went
    /// back adds no time.
    pub fn observe_stored(&self, bytes: u64, now_ms: u64) {
        self.lock().stored.observe(bytes, now_ms);
    }

    /// Wakes somebody whenever usage was added, some ten times a second while there is any. The first who asks stays.
    pub fn wake_on_usage(&self, waker: Waker) {
        // Set once: whoever comes second would be no spool's owner.
        let _ = self.waker.set(waker);
    }

    /// A copy of everything up to `now_ms`, Unix milliseconds.
    pub fn totals(&self, now_ms: u64) -> Totals {
        let (rows, stored) = {
            let state = self.lock();
            (state.rows.clone(), state.stored.clone())
        };
        self.totals_of(rows, stored, now_ms)
    }

    /// The same, and what was used since this was called last, by dimension: for the one spool that keeps it.
    pub fn take(&self, now_ms: u64) -> (Totals, Parts) {
        let (rows, stored, parts) = {
            let mut state = self.lock();
            (state.rows.clone(), state.stored.clone(), std::mem::take(&mut state.parts))
        };
        (self.totals_of(rows, stored, now_ms), parts)
    }

    fn totals_of(&self, rows: Box<[Usage]>, mut stored: Stored, now_ms: u64) -> Totals {
        stored.observe(stored.bytes, now_ms);
        Totals {
            from_ms: self.started_at_ms,
            to_ms: stored.observed_at_ms,
            gigabyte_hours: gigabyte_hours(stored.byte_ms),
            gigabyte_hours_metered: gigabyte_hours(stored.metered_byte_ms + stored.metered_this_hour()),
            stored_byte_ms: stored.byte_ms,
            rows,
        }
    }

    /// Adds a worker's rows, and what `drain` adds of it by dimension.
    pub(crate) fn add(&self, rows: &[Usage], drain: impl FnOnce(&mut Parts)) {
        let mut state = self.lock();
        state.rows.iter_mut().zip(rows).for_each(|(sum, more)| sum.add(more));
        drain(&mut state.parts);
        drop(state);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Sums stay sums when another thread has panicked.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Totals {
    /// One command's usage.
    pub fn usage(&self, id: CommandId) -> Usage {
        self.rows.get(id.0 as usize).copied().unwrap_or_default()
    }

    /// The usage of every command that was called, in the order of their numbers.
    pub fn commands(&self) -> impl Iterator<Item = (Command, Usage)> {
        tables().iter().zip(self.rows.iter().copied()).filter(|(_, usage)| usage.calls > 0)
    }

    /// All commands together.
    pub fn usage_total(&self) -> Usage {
        self.rows.iter().fold(Usage::default(), |mut sum, row| {
            sum.add(row);
            sum
        })
    }
}

impl Stored {
    fn observe(&mut self, bytes: u64, now_ms: u64) {
        while self.observed_at_ms < now_ms {
            let hour_ends_ms = (self.observed_at_ms / HOUR_MS + 1) * HOUR_MS;
            let to_ms = now_ms.min(hour_ends_ms);
            self.hold(to_ms - self.observed_at_ms);
            self.observed_at_ms = to_ms;
            if to_ms == hour_ends_ms {
                self.metered_byte_ms += self.metered_this_hour();
                (self.hour_byte_ms, self.hour_ms) = (0, 0);
            }
        }
        self.bytes = bytes;
    }

    fn hold(&mut self, ms: u64) {
        let byte_ms = u128::from(self.bytes) * u128::from(ms);
        self.byte_ms += byte_ms;
        self.hour_byte_ms += byte_ms;
        self.hour_ms += ms;
    }

    fn metered_this_hour(&self) -> u128 {
        self.hour_byte_ms.max(u128::from(self.minimum_bytes) * u128::from(self.hour_ms))
    }
}

fn gigabyte_hours(byte_ms: u128) -> f64 {
    byte_ms as f64 / (GIGABYTE as f64 * HOUR_MS as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START_MS: u64 = 480_000 * HOUR_MS;

    fn hours(ledger: &Ledger, now_ms: u64) -> (f64, f64) {
        let totals = ledger.totals(now_ms);
        (totals.gigabyte_hours, totals.gigabyte_hours_metered)
    }

    #[test]
    fn a_gigabyte_for_an_hour_is_a_gigabyte_hour() {
        let ledger = Ledger::new(START_MS, 0);
        ledger.observe_stored(GIGABYTE, START_MS);
        assert_eq!(hours(&ledger, START_MS + HOUR_MS / 4), (0.25, 0.25));
        ledger.observe_stored(GIGABYTE, START_MS + HOUR_MS);
        assert_eq!(hours(&ledger, START_MS + HOUR_MS), (1.0, 1.0));
        assert_eq!(ledger.started_at_ms(), START_MS);
    }

    #[test]
    fn the_minimum_holds_for_each_hours_average_not_for_the_sum() {
        let ledger = Ledger::new(START_MS, GIGABYTE);
        // First hour: half of it three gigabytes, half nothing: 1.5 on average, above the minimum.
        ledger.observe_stored(3 * GIGABYTE, START_MS);
        ledger.observe_stored(0, START_MS + HOUR_MS / 2);
        assert_eq!(hours(&ledger, START_MS + HOUR_MS), (1.5, 1.5));
        // Second hour: nothing, metered at the minimum.
        assert_eq!(hours(&ledger, START_MS + 2 * HOUR_MS), (1.5, 2.5));
        // A quarter of the third: for its part.
        assert_eq!(hours(&ledger, START_MS + 2 * HOUR_MS + HOUR_MS / 4), (1.5, 2.75));
    }

    #[test]
    fn reading_changes_nothing() {
        let ledger = Ledger::new(START_MS, GIGABYTE);
        ledger.observe_stored(GIGABYTE / 2, START_MS + 1);
        let later = hours(&ledger, START_MS + 5 * HOUR_MS);
        assert_eq!(hours(&ledger, START_MS + 5 * HOUR_MS), later);
        assert!(hours(&ledger, START_MS + HOUR_MS).0 < later.0);
    }

    #[test]
    fn a_clock_that_goes_back_adds_no_time() {
        let ledger = Ledger::new(START_MS, 0);
        ledger.observe_stored(GIGABYTE, START_MS);
        ledger.observe_stored(GIGABYTE, START_MS + HOUR_MS);
        ledger.observe_stored(GIGABYTE, START_MS);
        assert_eq!(hours(&ledger, START_MS + HOUR_MS).0, 1.0);
    }

    proptest! {
        /// How often somebody looks does not change what is metered.
        #[test]
        fn observations_of_the_same_size_add_nothing(
            bytes in 0..1u64 << 40,
            minimum in 0..1u64 << 40,
            start in 0..HOUR_MS,
            mut looks in proptest::collection::vec(0..5 * HOUR_MS, 0..50),
        ) {
            looks.sort_unstable();
            let (often, once) = (Ledger::new(start, minimum), Ledger::new(start, minimum));
            often.observe_stored(bytes, start);
            once.observe_stored(bytes, start);
            looks.iter().for_each(|at| often.observe_stored(bytes, start + at));
            let end = start + 5 * HOUR_MS;
            prop_assert_eq!(hours(&often, end), hours(&once, end));
            let (raw, metered) = hours(&once, end);
            prop_assert!(metered >= raw);
            let expected = bytes.max(minimum) as f64 / GIGABYTE as f64 * 5.0;
            prop_assert!((metered - expected).abs() <= expected * 1e-12, "{} {}", metered, expected);
        }
    }
}
