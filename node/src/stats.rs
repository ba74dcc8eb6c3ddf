//! Figures of a node that somebody asks for now and then: keys by database, stored bytes.

use swell_engine::key::all_dbs;
use swell_engine::stripe::STRIPES;

use crate::control::NodeStats;
use crate::embedded::Node;

/// One database as INFO's keyspace section shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DbFigures {
    /// The number clients use.
    pub db: u8,
    pub keys: u64,
    /// Keys with an expiry.
    pub volatile: u64,
}

impl Node {
    /// Every database that has keys, by the number clients use.
    pub fn databases(&self) -> Vec<DbFigures> {
        let sum = |db, volatile| (0..STRIPES).map(|index| self.engine().stripe(index).db_count(db, volatile)).sum();
        all_dbs()
            .filter_map(|logical| {
                let db = self.engine().map_db(logical);
                let keys: u64 = sum(db, false);
                (keys > 0).then(|| DbFigures { db: logical.number(), keys, volatile: sum(db, true) })
            })
            .collect()
    }

    /// Keys, and keys with an expiry, in all databases, as of a moment ago and without a lock.
    pub fn key_counts(&self) -> (u64, u64) {
        let sum = |volatile| (0..STRIPES).map(|index| self.engine().stripe(index).key_count_hint(volatile)).sum();
        (sum(false), sum(true))
    }
}

/// Reports what [`NodeStats`] holds.
#[derive(Debug, Default)]
pub struct Reporter {}

impl Reporter {
    /// The figures now.
    pub fn report(&mut self, node: &Node) -> NodeStats {
        let process = ProcessFigures::read();
        NodeStats {
            used_bytes: node.engine().used_bytes(),
            resident_bytes: process.resident_bytes,
            keys: node.key_counts().0,
            cpu_us: process.cpu_us,
            ..NodeStats::default()
        }
    }
}

/// Clock ticks per second in `/proc/PID/stat`: 100 on every Linux, whatever the kernel counts by.
const TICKS_PER_SECOND: u64 = 100;

/// What the system says of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFigures {
    /// CPU time of all its threads so far, microseconds (to 10 ms).
    pub cpu_us: u64,
    /// Memory it has in the machine.
    pub resident_bytes: u64,
}

impl ProcessFigures {
    /// Reads them; zero where the system does not say.
    pub fn read() -> ProcessFigures {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        ProcessFigures::of(&read("/proc/self/stat"), &read("/proc/self/status"))
    }

    fn of(stat: &str, status: &str) -> ProcessFigures {
        // The second field is the name, in parentheses, and may hold anything; user and system time are 14 and 15.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 =
            after_name.split_ascii_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident_kb = resident.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
        ProcessFigures {
            cpu_us: ticks * (1_000_000 / TICKS_PER_SECOND),
            resident_bytes: resident_kb.unwrap_or_default() * 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_figures_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 30 12 5 5 20 0 1 0 100 1000 20 1844";
        let status = "Name:\ta\nVmHWM:\t  9 kB\nVmRSS:\t    1234 kB\n";
        let figures = ProcessFigures::of(stat, status);
        assert_eq!(figures, ProcessFigures { cpu_us: 420_000, resident_bytes: 1234 * 1024 });
        assert_eq!(ProcessFigures::of("", "VmRSS: x"), ProcessFigures::default());
        assert!(ProcessFigures::read().resident_bytes > 0);
    }
}
