//! The durable ledger: what proxies hand over (`spool`), the one file that keeps it (`book`), what it says (`report`).
//!
//! A proxy takes a *charge* several times a second: what was used since the last one, under its next number. It keeps
//! the charge until the ledger's writer has it durably. The writer stores the number in the same transaction as the
//! figures, so a charge that comes twice counts once.

mod book;
mod report;
mod spool;

pub use book::{Book, BookError, Used};
pub use report::{By, Line, Report};
pub use spool::Spool;

use serde::{Deserialize, Serialize};

use crate::counters::Usage;
use crate::parts::Part;

/// Milliseconds of a minute.
pub const MINUTE_MS: u64 = 60_000;
/// Milliseconds of an hour.
pub const HOUR_MS: u64 = 60 * MINUTE_MS;

/// What one proxy has used, under a number that makes it count once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Charge {
    /// Which proxy, such as the address that it listens at.
    pub proxy: String,
    /// Which start of it: differs from start to start.
    pub boot: String,
    /// 1, 2, 3 … in each start.
    pub sequence: u64,
    pub minutes: Vec<Minute>,
}

/// What was used within one minute of the clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Minute {
    /// Whole minutes since 1970.
    pub at: u64,
    /// By command, as [`crate::label`] names it.
    pub commands: Vec<(String, Usage)>,
    /// The same by user, client, database and key prefix. Proxies of earlier versions do not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    pub stored: Stored,
}

/// Stored bytes over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Bytes times milliseconds.
    pub byte_ms: f64,
    /// For how long that was observed.
    pub ms: u64,
}

impl Stored {
    fn add(&mut self, more: &Stored) {
        self.byte_ms += more.byte_ms;
        self.ms += more.ms;
    }
}
