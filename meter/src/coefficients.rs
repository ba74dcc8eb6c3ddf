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
pub static ELASTICACHE: Coefficients = Coefficients {
    baseline_ns: 3000,
    rows: &[
        row("append", 3495, 0),
        row("copy", 3330, 0),
        row("expiretime", 1480, 0),
        row("flushall", 38000, 0),
        row("flushdb", 31000, 0),
        row("getdel", 3013, 0),
        row("getex", 4105, 0),
        row("getrange", 1955, 0),
        row("getset", 3990, 0),
        row("keys", 0, 86),
        row("mget", 1074, 868),
        row("mset", 1550, 908),
        row("msetnx", 984, 644),
        row("pexpiretime", 1555, 0),
        row("randomkey", 7902, 0),
        row("rename", 3412, 0),
        row("renamenx", 2955, 0),
        row("scan", 2881, 473),
        row("setrange", 3245, 0),
        row("substr", 1882, 0),
        row("touch", 989, 659),
    ],
};

/// This engine, by `cargo run --release -p swell-meter --example calibrate`: of each row the lowest of five runs. The
/// baseline is the dearer of GET and SET.
pub static SWELL: Coefficients = Coefficients {
    baseline_ns: 670,
    rows: &[
        row("append", 707, 0),
        row("copy", 829, 0),
        row("dbsize", 3892, 0),
        row("debug|object", 736, 0),
        row("decr", 589, 0),
        row("decrby", 609, 0),
        row("del", 0, 669),
        row("exists", 291, 441),
        row("expire", 798, 0),
        row("expireat", 865, 0),
        row("expiretime", 617, 0),
        row("flushall", 551, 219),
        row("flushdb", 531, 208),
        row("get", 607, 0),
        row("getdel", 728, 0),
        row("getex", 928, 0),
        row("getrange", 663, 0),
        row("getset", 766, 0),
        row("incr", 755, 0),
        row("incrby", 667, 0),
        row("incrbyfloat", 1346, 0),
        row("keys", 662, 340),
        row("memory|usage", 536, 0),
        row("mget", 27, 546),
        row("mset", 84, 515),
        row("msetnx", 198, 261),
        row("object|encoding", 559, 0),
        row("object|idletime", 589, 0),
        row("object|refcount", 629, 0),
        row("persist", 663, 0),
        row("pexpire", 730, 0),
        row("pexpireat", 706, 0),
        row("pexpiretime", 589, 0),
        row("psetex", 813, 0),
        row("pttl", 597, 0),
        row("randomkey", 5119, 0),
        row("rename", 1541, 0),
        row("renamenx", 1550, 0),
        row("scan", 1428, 168),
        row("set", 670, 0),
        row("setex", 856, 0),
        row("setnx", 478, 0),
        row("setrange", 721, 0),
        row("strlen", 617, 0),
        row("substr", 688, 0),
        row("swapdb", 5125, 0),
        row("touch", 173, 542),
        row("ttl", 611, 0),
        row("type", 617, 0),
        row("unlink", 84, 793),
    ],
};

#[cfg(test)]
mod tests {
    use swell_engine::commands::table::tables;
    use swell_engine::spec::{Body, Pricing};

    use super::*;

    #[test]
    fn rows_are_sorted_unique_and_of_commands_that_are_there() {
        for table in [&ELASTICACHE, &SWELL] {
            assert!(table.rows.windows(2).all(|pair| pair[0].name < pair[1].name));
            for row in table.rows {
                assert!(tables().resp.by_name(row.name.as_bytes()).is_some(), "{}", row.name);
                assert_eq!(table.of(row.name), Some(row));
            }
            assert_eq!(table.of("no-such"), None);
        }
    }

    #[test]
    fn every_variable_command_was_measured_on_valkey_and_no_other() {
        // A container is never run, only its subcommands are.
        for command in tables().resp.iter().filter(|command| !matches!(command.spec.body, Body::Container)) {
            let is_variable = command.spec.cost.elasticache == Pricing::Variable;
            assert_eq!(ELASTICACHE.of(command.spec.name).is_some(), is_variable, "{}", command.spec.name);
        }
    }

    #[test]
    fn simple_reads_and_writes_are_one_baseline_at_most() {
        for name in ["get", "set"] {
            let row = SWELL.of(name).expect(name);
            assert!(row.base_ns + row.unit_ns <= SWELL.baseline_ns);
        }
    }
}
