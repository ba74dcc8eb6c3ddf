//! What a node shows of itself: memory, keys, hits and misses, memcached's own counters.

use swell_engine::Stats;
use swell_engine::commands::memcached::stat::McStat;
use swell_engine::heap::HeapStats;
use swell_engine::metric::Kind::{Counter, Gauge};
use swell_engine::metric::{Metric, Samples, Unit};

use crate::embedded::Node;
use crate::link::stats::NodeReport;
use crate::stats::DbFigures;

/// A node's figures at one moment.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub used_bytes: u64,
    pub used_peak_bytes: u64,
    pub maxmemory_bytes: u64,
    pub heap: HeapStats,
    pub databases: Vec<DbFigures>,
    pub stats: Stats,
    /// Keys that somebody waits for, and those of which somebody wants to know when they go.
    pub waited_keys: u64,
    pub waited_keys_on_missing: u64,
    /// Channels, patterns and shard channels that somebody has subscribed to.
    pub subscriptions: [usize; 3],
}

impl Figures {
    /// Looks at a node; takes some microseconds and no stripe's lock.
    pub fn of(node: &Node) -> Figures {
        let engine = node.engine();
        Figures {
            used_bytes: engine.used_bytes(),
            used_peak_bytes: engine.used_peak_bytes(),
            maxmemory_bytes: engine.settings().maxmemory_total_bytes(),
            heap: engine.heap_stats(),
            databases: node.databases(),
            stats: node.stats(),
            waited_keys: engine.waiters().keys(),
            waited_keys_on_missing: engine.waiters().keys_on_missing(),
            subscriptions: node.broker().sizes(),
        }
    }

    /// The sum of what several nodes say of themselves. The limit is the cache's: `maxmemory_bytes`.
    pub fn sum<'a>(reports: impl Iterator<Item = &'a NodeReport>, maxmemory_bytes: u64) -> Figures {
        let mut sum = Figures { maxmemory_bytes, ..Figures::default() };
        for report in reports {
            sum.used_bytes += report.stats.used_bytes;
            sum.used_peak_bytes += report.used_peak_bytes;
            sum.heap.held_bytes += report.heap.held_bytes as usize;
            sum.heap.live_bytes += report.heap.live_bytes as usize;
            sum.heap.spans += report.heap.spans as usize;
            sum.heap.free_spans += report.heap.free_spans as usize;
            sum.waited_keys += report.waited_keys;
            sum.waited_keys_on_missing += report.waited_keys_on_missing;
            sum.stats.add(&Stats::from(&report.keyspace));
            // Every node knows all of them.
            for (most, size) in sum.subscriptions.iter_mut().zip(report.subscriptions) {
                *most = size.max(*most);
            }
            for database in &report.databases {
                match sum.databases.iter_mut().find(|known| known.db == database.db) {
                    Some(known) => {
                        known.keys += database.keys;
                        known.volatile += database.volatile;
                    }
                    None => sum.databases.push(*database),
                }
            }
        }
        sum.databases.sort_unstable_by_key(|database| database.db);
        sum
    }
}

/// A node's metrics, in the order of the page.
pub static METRICS: &[Metric<Figures>] = &[
    Metric {
        name: "swell_memory_used_bytes",
        kind: Gauge,
        unit: Unit::Bytes,
        labels: &[],
        help: "Memory that keys, values and their tables take (ElastiCache: BytesUsedForCache).",
        read: |figures, samples| samples.add(&[], figures.used_bytes as f64),
    },
    Metric {
        name: "swell_memory_used_peak_bytes",
        kind: Gauge,
        unit: Unit::Bytes,
        labels: &[],
        help: "The most that swell_memory_used_bytes has been.",
        read: |figures, samples| samples.add(&[], figures.used_peak_bytes as f64),
    },
    Metric {
        name: "swell_memory_limit_bytes",
        kind: Gauge,
        unit: Unit::Bytes,
        labels: &[],
        help: "The limit set by maxmemory; 0 is none.",
        read: |figures, samples| samples.add(&[], figures.maxmemory_bytes as f64),
    },
    Metric {
        name: "swell_heap_held_bytes",
        kind: Gauge,
        unit: Unit::Bytes,
        labels: &[],
        help: "Memory that the heap of keys and values has taken from the system.",
        read: |figures, samples| samples.add(&[], figures.heap.held_bytes as f64),
    },
    Metric {
        name: "swell_heap_live_bytes",
        kind: Gauge,
        unit: Unit::Bytes,
        labels: &[],
        help: "The part of swell_heap_held_bytes that is handed out; the rest is fragmentation.",
        read: |figures, samples| samples.add(&[], figures.heap.live_bytes as f64),
    },
    Metric {
        name: "swell_keys",
        kind: Gauge,
        unit: Unit::Count,
        labels: &["db"],
        help: "Keys in a database (ElastiCache: CurrItems).",
        read: |figures, samples| figures.by_database(samples, |database| database.keys),
    },
    Metric {
        name: "swell_volatile_keys",
        kind: Gauge,
        unit: Unit::Count,
        labels: &["db"],
        help: "Keys in a database that have an expiry (ElastiCache: CurrVolatileItems).",
        read: |figures, samples| figures.by_database(samples, |database| database.volatile),
    },
    Metric {
        name: "swell_keyspace_hits_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Keys that reading commands found (ElastiCache: CacheHits; its CacheHitRate is hits / (hits + misses)).",
        read: |figures, samples| samples.add(&[], figures.stats.hits as f64),
    },
    Metric {
        name: "swell_keyspace_misses_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Keys that reading commands did not find (ElastiCache: CacheMisses).",
        read: |figures, samples| samples.add(&[], figures.stats.misses as f64),
    },
    Metric {
        name: "swell_expired_keys_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Keys that went because their time was over (ElastiCache: Reclaimed).",
        read: |figures, samples| samples.add(&[], figures.stats.expired_keys as f64),
    },
    Metric {
        name: "swell_evicted_keys_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &[],
        help: "Keys that went because memory was full (ElastiCache: Evictions).",
        read: |figures, samples| samples.add(&[], figures.stats.evicted_keys as f64),
    },
    Metric {
        name: "swell_memcached_requests_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &["verb"],
        help: "What memcached's stats counts as cmd_get, cmd_set, cmd_touch, cmd_flush and auth_cmds, by keys where a \
               verb takes several (ElastiCache: CmdGet, CmdSet, CmdTouch, CmdFlush).",
        read: |figures, samples| figures.by_place(samples, |place| matches!(place, Place::Request(_))),
    },
    Metric {
        name: "swell_memcached_results_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &["verb", "result"],
        help: "How memcached's verbs ended, by key (ElastiCache: GetHits, GetMisses, DeleteHits, IncrHits, DecrHits, \
               TouchHits, CasHits, CasBadval and so on).",
        read: |figures, samples| figures.by_place(samples, |place| matches!(place, Place::Result(..))),
    },
    Metric {
        name: "swell_memcached_stores_refused_total",
        kind: Counter,
        unit: Unit::Count,
        labels: &["reason"],
        help: "Items that were not stored because they were too large or memory was full.",
        read: |figures, samples| figures.by_place(samples, |place| matches!(place, Place::Refused(_))),
    },
];

/// Where one of memcached's counters is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Request(&'static str),
    Result(&'static str, &'static str),
    Refused(&'static str),
}

impl Figures {
    /// Database 0 is always there.
    fn by_database(&self, samples: &mut dyn Samples, figure: fn(&DbFigures) -> u64) {
        if self.databases.iter().all(|database| database.db != 0) {
            samples.add(&["0"], 0.0);
        }
        for database in &self.databases {
            samples.add(&[&database.db.to_string()], figure(database) as f64);
        }
    }

    fn by_place(&self, samples: &mut dyn Samples, is_here: fn(Place) -> bool) {
        for stat in McStat::ALL {
            let count = self.stats.memcached[stat.index()] as f64;
            match place(*stat) {
                place if !is_here(place) => {}
                Place::Request(value) | Place::Refused(value) => samples.add(&[value], count),
                Place::Result(verb, result) => samples.add(&[verb, result], count),
            }
        }
    }
}

fn place(stat: McStat) -> Place {
    match stat {
        McStat::CmdGet => Place::Request("get"),
        McStat::CmdSet => Place::Request("set"),
        McStat::CmdFlush => Place::Request("flush_all"),
        McStat::CmdTouch => Place::Request("touch"),
        McStat::AuthCmds => Place::Request("auth"),
        McStat::GetHits => Place::Result("get", "hit"),
        McStat::GetMisses => Place::Result("get", "miss"),
        McStat::DeleteHits => Place::Result("delete", "hit"),
        McStat::DeleteMisses => Place::Result("delete", "miss"),
        McStat::IncrHits => Place::Result("incr", "hit"),
        McStat::IncrMisses => Place::Result("incr", "miss"),
        McStat::DecrHits => Place::Result("decr", "hit"),
        McStat::DecrMisses => Place::Result("decr", "miss"),
        McStat::CasHits => Place::Result("cas", "hit"),
        McStat::CasMisses => Place::Result("cas", "miss"),
        McStat::CasBadval => Place::Result("cas", "badval"),
        McStat::TouchHits => Place::Result("touch", "hit"),
        McStat::TouchMisses => Place::Result("touch", "miss"),
        McStat::AuthErrors => Place::Result("auth", "error"),
        McStat::StoreTooLarge => Place::Refused("too_large"),
        McStat::StoreNoMemory => Place::Refused("no_memory"),
    }
}
