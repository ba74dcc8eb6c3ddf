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
    baseline_ns: 641,
    rows: &[
        row("append", 740, 0),
        row("copy", 951, 0),
        row("dbsize", 5054, 0),
        row("debug|object", 841, 0),
        row("decr", 1097, 0),
        row("decrby", 1079, 0),
        row("del", 136, 592),
        row("exists", 273, 275),
        row("expire", 721, 0),
        row("expireat", 679, 0),
        row("expiretime", 590, 0),
        row("flushall", 701, 246),
        row("flushdb", 391, 215),
        row("get", 641, 0),
        row("getdel", 809, 0),
        row("getex", 821, 0),
        row("getrange", 662, 0),
        row("getset", 683, 0),
        row("incr", 1138, 0),
        row("incrby", 1144, 0),
        row("incrbyfloat", 2476, 0),
        row("keys", 501, 352),
        row("memory|usage", 642, 0),
        row("mget", 159, 546),
        row("mset", 27, 628),
        row("msetnx", 96, 403),
        row("object|encoding", 638, 0),
        row("object|idletime", 659, 0),
        row("object|refcount", 709, 0),
        row("persist", 1588, 0),
        row("pexpire", 982, 0),
        row("pexpireat", 927, 0),
        row("pexpiretime", 566, 0),
        row("psetex", 737, 0),
        row("pttl", 583, 0),
        row("randomkey", 6196, 0),
        row("rename", 1225, 0),
        row("renamenx", 1010, 0),
        row("scan", 2830, 196),
        row("set", 576, 0),
        row("setex", 703, 0),
        row("setnx", 407, 0),
        row("setrange", 628, 0),
        row("strlen", 468, 0),
        row("substr", 453, 0),
        row("swapdb", 3808, 0),
        row("touch", 261, 337),
        row("ttl", 579, 0),
        row("type", 555, 0),
        row("unlink", 191, 685),
    ],
};

#[cfg(test)]
mod tests {
    use swell_engine::commands::table::tables;
    use swell_engine::spec::Pricing;

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
        for command in tables().resp.iter() {
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
