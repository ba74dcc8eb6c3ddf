//! What a node's workers count for its links, and the report that a `Stats` frame is answered with.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use swell_engine::Stats;
use swell_engine::commands::memcached::stat::McStat;
use swell_engine::heap::HeapStats;
use swell_engine::key::KeyHash;
use swell_ring::SLOTS;

use crate::control::NodeStats;
use crate::embedded::{Handle, Node};
use crate::stats::DbFigures;

/// Slots that a report names.
const HEAT_SLOTS_MAX: usize = 64;

/// The zero of [`NodeStats::at_us`].
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What one link has counted since it was last asked.
#[derive(Debug, Default)]
pub struct Counts {
    pub requests: u64,
    pub work: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Frames that had to wait.
    pub parked: u64,
    /// Nanoseconds spent with frames.
    pub busy_ns: u64,
    /// The most bytes of another session's chunk that a short reply has stood behind.
    pub behind_bytes_max: u64,
    /// Work by slot; empty where nobody asks for it.
    heat: Vec<u32>,
    /// Whether there is any.
    is_warm: bool,
}

/// What all workers of a node have counted. Counters rise for as long as the process lives.
#[derive(Debug, Default)]
pub struct Totals {
    sums: Mutex<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    requests: u64,
    work: u64,
    bytes_in: u64,
    bytes_out: u64,
    parked: u64,
    busy_ns: u64,
    behind_bytes_max: u64,
    loop_delay_us: u64,
    /// Work by slot since the last report; empty until there is any.
    heat: Vec<u64>,
}

/// A node's figures, for INFO, memcached's stats and whoever else asks over a link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    pub stats: NodeStats,
    #[serde(default)]
    pub keyspace: KeyspaceStats,
    /// Every database that has keys, by the number clients use.
    #[serde(default)]
    pub databases: Vec<DbFigures>,
    /// 0: no limit.
    #[serde(default)]
    pub maxmemory_bytes: u64,
    #[serde(default)]
    pub used_peak_bytes: u64,
    #[serde(default)]
    pub heap: HeapReport,
    /// Keys with an expiry, in all databases.
    #[serde(default)]
    pub volatile_keys: u64,
    /// Frames that had to wait, so far.
    #[serde(default)]
    pub parked: u64,
    /// Time that link workers spent with frames so far, microseconds.
    #[serde(default)]
    pub busy_us: u64,
    /// Keys that somebody waits for, and those of which somebody wants to know when they go.
    #[serde(default)]
    pub waited_keys: u64,
    #[serde(default)]
    pub waited_keys_on_missing: u64,
    /// Channels, patterns and shard channels that somebody has subscribed to.
    #[serde(default)]
    pub subscriptions: [usize; 3],
}

/// What happened to keys, as [`Stats`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyspaceStats {
    pub hits: u64,
    pub misses: u64,
    pub expired_keys: u64,
    pub evicted_keys: u64,
    /// By memcached's name of each counter.
    pub memcached: Vec<(String, u64)>,
}

/// What the heap of keys and values holds, as [`HeapStats`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapReport {
    pub held_bytes: u64,
    pub live_bytes: u64,
    pub spans: u64,
    pub free_spans: u64,
}

impl Counts {
    /// Counts that know how much work each slot had.
    pub fn with_heat() -> Counts {
        Counts { heat: vec![0; SLOTS], ..Counts::default() }
    }

    /// Counts a request that ran. The slot of its first key gets the heat.
    #[inline]
    pub(super) fn request(&mut self, keys: &[KeyHash], work: u64) {
        self.requests += 1;
        self.work += work;
        let Some(key) = keys.first() else { return };
        if let Some(heat) = self.heat.get_mut(key.slot.index()) {
            self.is_warm = true;
            *heat = heat.saturating_add(work as u32);
        }
    }
}

impl Totals {
    /// Adds what a link has counted, and forgets it there.
    pub fn add(&self, counts: &mut Counts) {
        let mut sums = self.lock();
        sums.requests += std::mem::take(&mut counts.requests);
        sums.work += std::mem::take(&mut counts.work);
        sums.bytes_in += std::mem::take(&mut counts.bytes_in);
        sums.bytes_out += std::mem::take(&mut counts.bytes_out);
        sums.parked += std::mem::take(&mut counts.parked);
        sums.busy_ns += std::mem::take(&mut counts.busy_ns);
        sums.behind_bytes_max = sums.behind_bytes_max.max(counts.behind_bytes_max);
        if std::mem::take(&mut counts.is_warm) {
            sums.heat.resize(SLOTS, 0);
            for (sum, heat) in sums.heat.iter_mut().zip(counts.heat.iter_mut()) {
                *sum += u64::from(std::mem::take(heat));
            }
        }
    }

    /// A worker's loop was late by so many microseconds.
    pub fn note_delay(&self, delay_us: u64) {
        let mut sums = self.lock();
        sums.loop_delay_us = sums.loop_delay_us.max(delay_us);
    }

    fn lock(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeStats {
    /// A node's, as of now. `begin_anew`: heat and delay count from here on (the regular report to the scaler asks so,
    /// others only look).
    pub fn of(node: &Node, begin_anew: bool) -> NodeStats {
        let (cpu_us, resident_bytes) = (process::cpu_us(), process::resident_bytes());
        let engine = node.engine();
        let mut sums = node.totals().lock();
        let heat = hottest(&sums.heat);
        let stats = NodeStats {
            // Never 0: that is what a node says that does not know.
            at_us: BEGAN.elapsed().as_micros() as u64 + 1,
            used_bytes: engine.used_bytes(),
            resident_bytes,
            keys: node.key_counts().0,
            cpu_us,
            loop_delay_us: sums.loop_delay_us,
            bytes_in: sums.bytes_in,
            bytes_out: sums.bytes_out,
            requests: sums.requests,
            work: sums.work,
            heat,
            behind_bytes_max: sums.behind_bytes_max,
        };
        if begin_anew {
            sums.loop_delay_us = 0;
            sums.heat.fill(0);
        }
        stats
    }
}

impl NodeReport {
    /// A node's, as of its workers' last reports.
    pub fn of(node: &Node) -> NodeReport {
        let engine = node.engine();
        let (parked, busy_ns) = {
            let sums = node.totals().lock();
            (sums.parked, sums.busy_ns)
        };
        NodeReport {
            stats: NodeStats::of(node, false),
            keyspace: KeyspaceStats::from(&node.stats()),
            databases: node.databases(),
            maxmemory_bytes: engine.settings().maxmemory_total_bytes(),
            used_peak_bytes: engine.used_peak_bytes(),
            heap: HeapReport::from(&engine.heap_stats()),
            volatile_keys: node.key_counts().1,
            parked,
            busy_us: busy_ns / 1_000,
            waited_keys: engine.waiters().keys(),
            waited_keys_on_missing: engine.waiters().keys_on_missing(),
            subscriptions: node.broker().sizes(),
        }
    }
}

impl From<&Stats> for KeyspaceStats {
    fn from(stats: &Stats) -> KeyspaceStats {
        let named = McStat::NAMES.iter().zip(stats.memcached);
        KeyspaceStats {
            hits: stats.hits,
            misses: stats.misses,
            expired_keys: stats.expired_keys,
            evicted_keys: stats.evicted_keys,
            memcached: named.map(|(name, count)| ((*name).to_owned(), count)).collect(),
        }
    }
}

impl From<&KeyspaceStats> for Stats {
    /// Counters that this version does not know are left out.
    fn from(report: &KeyspaceStats) -> Stats {
        let mut stats = Stats {
            hits: report.hits,
            misses: report.misses,
            expired_keys: report.expired_keys,
            evicted_keys: report.evicted_keys,
            ..Stats::default()
        };
        for (name, count) in &report.memcached {
            if let Some(at) = McStat::NAMES.iter().position(|known| known == name) {
                stats.memcached[at] = *count;
            }
        }
        stats
    }
}

impl From<&HeapStats> for HeapReport {
    fn from(heap: &HeapStats) -> HeapReport {
        HeapReport {
            held_bytes: heap.held_bytes as u64,
            live_bytes: heap.live_bytes as u64,
            spans: heap.spans as u64,
            free_spans: heap.free_spans as u64,
        }
    }
}

/// The report of a handle's node as JSON; what this worker has not reported yet is in it.
pub(super) fn report(handle: &mut Handle) -> Vec<u8> {
    handle.report();
    // Our own messages have no keys that JSON cannot write.
    serde_json::to_vec(&NodeReport::of(handle.node())).unwrap_or_default()
}

/// The slots with the most work, most first.
fn hottest(heat: &[u64]) -> Vec<(u16, u64)> {
    let warm = heat.iter().enumerate().filter(|(_, work)| **work > 0);
    let mut slots: Vec<(u16, u64)> = warm.map(|(slot, work)| (slot as u16, *work)).collect();
    if slots.len() > HEAT_SLOTS_MAX {
        slots.select_nth_unstable_by_key(HEAT_SLOTS_MAX, |(_, work)| std::cmp::Reverse(*work));
        slots.truncate(HEAT_SLOTS_MAX);
    }
    slots.sort_unstable_by_key(|(slot, work)| (std::cmp::Reverse(*work), *slot));
    slots
}

/// What the system says of this process.
mod process {
    use std::fs::read_to_string;

    /// CPU time so far, microseconds; 0 where the system does not say. Not from `/proc/self/stat`, which counts in
    /// hundredths of a second: of a node that is held to a tenth of a core that is a sixth of what it uses in half a
    /// second, and whoever divides by it sees a busy node idle.
    pub(super) fn cpu_us() -> u64 {
        // SAFETY: an rusage is plain numbers, for which zeroes are a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: `usage` is a valid rusage that the call fills; if it fails, zeroes stay.
        unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
        micros(usage.ru_utime) + micros(usage.ru_stime)
    }

    fn micros(time: libc::timeval) -> u64 {
        time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64
    }

    /// Resident memory in bytes; 0 where the system does not say.
    pub(super) fn resident_bytes() -> u64 {
        let status = read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0)
            * 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_slots_come_first_and_reports_survive_the_way() {
        let mut heat = vec![0; SLOTS];
        (0..200).for_each(|slot| heat[slot * 7] = slot as u64);
        let hot = hottest(&heat);
        assert_eq!((hot.len(), hot[0], hot[63]), (HEAT_SLOTS_MAX, (199 * 7, 199), (136 * 7, 136)));
        let node = Node::new(1);
        let report = NodeReport::of(&node);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<NodeReport>(&text).unwrap(), report);
        assert!(report.stats.resident_bytes > 0, "this test runs on Linux");
        let stats = Stats { hits: 3, memcached: std::array::from_fn(|at| at as u64), ..Stats::default() };
        let back = Stats::from(&KeyspaceStats::from(&stats));
        assert_eq!((back.hits, back.memcached), (3, stats.memcached));
    }
}
