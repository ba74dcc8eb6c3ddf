//! Measured vCPU times by command, as tables: docs/metering.md says how they were measured.

/// What one command's execution takes: `base_ns + unit_ns × work`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coefficient {
    /// As in the command table.
    pub name: &'static str,
    /// Nanoseconds of vCPU time for a call.
    pub base_ns: u32,
    /// Nanoseconds of vCPU time for each unit of work.
    pub unit_ns: u32,
}

/// The vCPU times of one engine. A command without a row takes one baseline.
#[derive(Clone, Copy, Debug)]
pub struct Coefficients {
    /// Nanoseconds of vCPU time that are one ECPU.
    pub baseline_ns: u32,
    /// Sorted by name.
    pub rows: &'static [Coefficient],
}

impl Coefficients {
    /// A command's row.
    pub fn of(&self, name: &str) -> Option<&'static Coefficient> {
        self.rows.binary_search_by_key(&name, |row| row.name).ok().map(|at| &self.rows[at])
    }
}

const fn row(name: &'static str, base_ns: u32, unit_ns: u32) -> Coefficient {
    Coefficient { name, base_ns, unit_ns }
}

/// Valkey 9.1, by its own command statistics; ElastiCache's own estimator takes 3 µs of them as one ECPU. Only
/// commands that ElastiCache neither lists as fixed nor leaves unmetered.
pub static ELASTICACHE: Coefficients = Coefficients { baseline_ns: 3000, rows: &[row("mget", 100, 800)] };

/// This engine, by `cargo run --release -p swell-meter --example calibrate`; the baseline is the dearer of GET and SET.
pub static SWELL: Coefficients = Coefficients { baseline_ns: 150, rows: &[row("mget", 10, 80)] };
