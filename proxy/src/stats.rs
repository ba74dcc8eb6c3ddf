//! What a proxy counts beside the meter: connections, bytes, errors, how long batches take.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Buckets of the batch latency histogram: powers of two of microseconds, the last one unbounded.
pub const LATENCY_BUCKETS: usize = 24;

/// Counts of one worker since its last report, or of all workers since the start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    pub connections_received: u64,
    pub connections_rejected: u64,
    pub commands: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub errors: u64,
    pub protocol_errors: u64,
    pub auth_failures: u64,
    pub parked: u64,
    pub late: u64,
    /// Requests whose link was lost before they were answered, and that may have run.
    pub unknown_outcomes: u64,
    /// Atomic commands that were refused because their keys lie in several slots.
    pub cross_slot: u64,
    /// Clients that were closed because they did not take what they were sent.
    pub output_limit_closed: u64,
    pub batches: u64,
    pub batch_nanoseconds: u64,
    pub latency: [u64; LATENCY_BUCKETS],
    /// Error replies by their code (the first word).
    pub error_codes: BTreeMap<String, u64>,
}

/// Codes of error replies that are counted apart (a client must not make the map grow).
const ERROR_CODES_MAX: usize = 64;

impl Counts {
    /// Counts one batch that took so long.
    #[inline]
    pub fn batch(&mut self, nanoseconds: u64) {
        self.batches += 1;
        self.batch_nanoseconds += nanoseconds;
        let microseconds = nanoseconds / 1_000;
        let bucket = (64 - microseconds.leading_zeros() as usize).min(LATENCY_BUCKETS - 1);
        self.latency[bucket] += 1;
    }

    /// Counts an error reply by its code.
    pub fn error(&mut self, code: &[u8]) {
        self.errors += 1;
        let code = String::from_utf8_lossy(code);
        if let Some(count) = self.error_codes.get_mut(code.as_ref()) {
            *count += 1;
        } else if self.error_codes.len() < ERROR_CODES_MAX {
            self.error_codes.insert(code.into_owned(), 1);
        }
    }

    /// Adds other counts.
    pub fn add(&mut self, other: &Counts) {
        self.connections_received += other.connections_received;
        self.connections_rejected += other.connections_rejected;
        self.commands += other.commands;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.errors += other.errors;
        self.protocol_errors += other.protocol_errors;
        self.auth_failures += other.auth_failures;
        self.parked += other.parked;
        self.late += other.late;
        self.unknown_outcomes += other.unknown_outcomes;
        self.cross_slot += other.cross_slot;
        self.output_limit_closed += other.output_limit_closed;
        self.batches += other.batches;
        self.batch_nanoseconds += other.batch_nanoseconds;
        self.latency.iter_mut().zip(other.latency).for_each(|(sum, more)| *sum += more);
        for (code, count) in &other.error_codes {
            *self.error_codes.entry(code.clone()).or_default() += count;
        }
    }
}

/// The counts that rates are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub commands: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// The sum over all workers as of their last reports.
#[derive(Debug, Default)]
pub struct Totals(Mutex<Counts>);

impl Totals {
    /// Adds what a worker counted.
    pub fn add(&self, counts: &Counts) {
        self.lock().add(counts);
    }

    /// The sums.
    pub fn get(&self) -> Counts {
        self.lock().clone()
    }

    /// Those of the sums that rates are made of.
    pub fn sums(&self) -> Sums {
        let counts = self.lock();
        Sums { commands: counts.commands, bytes_in: counts.bytes_in, bytes_out: counts.bytes_out }
    }

    /// Forgets all (`CONFIG RESETSTAT`).
    pub fn reset(&self) {
        *self.lock() = Counts::default();
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
