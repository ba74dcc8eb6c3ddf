//! Thresholds between compact and large forms, as CONFIG has them.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// The thresholds at one moment. Names and defaults are Valkey's (9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fields of a hash in a listpack at most.
    pub hash_entries: usize,
    /// Bytes of a field or value in a listpack at most.
    pub hash_value_bytes: usize,
    /// HyperLogLogs of more bytes are dense.
    pub hll_sparse_bytes: usize,
    /// Positive: elements of a list's listpack; -1 … -5: its size, 4, 8, 16, 32, 64 KiB.
    pub list_size: i64,
    /// Integers in an intset at most.
    pub set_ints: usize,
    /// Members of a set in a listpack at most.
    pub set_entries: usize,
    pub set_value_bytes: usize,
    /// Bytes of a stream's node at most; 0: no limit.
    pub stream_node_bytes: usize,
    /// Entries of a stream's node at most; 0: no limit.
    pub stream_node_entries: usize,
    /// Members of a sorted set in a listpack at most.
    pub zset_entries: usize,
    pub zset_value_bytes: usize,
}

/// One threshold as an option of CONFIG.
#[derive(Debug)]
pub struct Limit {
    pub name: &'static str,
    /// Its name before Redis 7.
    pub old_name: Option<&'static str>,
    pub default: i64,
    pub min: i64,
    pub max: i64,
    /// Whether CONFIG takes units ("4kb").
    pub is_size: bool,
}

/// By name, in the order of [`Limits`]'s fields.
pub static LIMITS: [Limit; 11] = [
    entries("hash-max-listpack-entries", Some("hash-max-ziplist-entries"), 512),
    entries("hash-max-listpack-value", Some("hash-max-ziplist-value"), 64),
    size("hll-sparse-max-bytes", 3000),
    Limit {
        name: "list-max-listpack-size",
        old_name: Some("list-max-ziplist-size"),
        default: -2,
        min: i32::MIN as i64,
        max: i32::MAX as i64,
        is_size: false,
    },
    entries("set-max-intset-entries", None, 512),
    entries("set-max-listpack-entries", None, 128),
    entries("set-max-listpack-value", None, 64),
    size("stream-node-max-bytes", 4096),
    entries("stream-node-max-entries", None, 100),
    entries("zset-max-listpack-entries", Some("zset-max-ziplist-entries"), 128),
    entries("zset-max-listpack-value", Some("zset-max-ziplist-value"), 64),
];

/// The thresholds in use; they may change while running.
#[derive(Debug)]
pub struct LiveLimits([AtomicI64; LIMITS.len()]);

impl Default for LiveLimits {
    fn default() -> Self {
        LiveLimits(std::array::from_fn(|at| AtomicI64::new(LIMITS[at].default)))
    }
}

impl Default for Limits {
    fn default() -> Self {
        LiveLimits::default().now()
    }
}

impl LiveLimits {
    /// All of them.
    #[inline]
    pub fn now(&self) -> Limits {
        let [
            hash_entries,
            hash_value,
            hll,
            list,
            ints,
            set_entries,
            set_value,
            node_bytes,
            node_entries,
            zset_entries,
            zset_value,
        ] = &self.0;
        let size = |limit: &AtomicI64| limit.load(Relaxed) as usize;
        Limits {
            hash_entries: size(hash_entries),
            hash_value_bytes: size(hash_value),
            hll_sparse_bytes: size(hll),
            list_size: list.load(Relaxed),
            set_ints: size(ints),
            set_entries: size(set_entries),
            set_value_bytes: size(set_value),
            stream_node_bytes: size(node_bytes),
            stream_node_entries: size(node_entries),
            zset_entries: size(zset_entries),
            zset_value_bytes: size(zset_value),
        }
    }

    /// One of them, by its place in [`LIMITS`].
    pub fn get(&self, at: usize) -> i64 {
        self.0[at].load(Relaxed)
    }

    /// Sets one of them, by its place in [`LIMITS`], within its bounds.
    pub fn set(&self, at: usize, value: i64) {
        self.0[at].store(value.clamp(LIMITS[at].min, LIMITS[at].max), Relaxed);
    }
}

const fn entries(name: &'static str, old_name: Option<&'static str>, default: i64) -> Limit {
    Limit { name, old_name, default, min: 0, max: i64::MAX, is_size: false }
}

const fn size(name: &'static str, default: i64) -> Limit {
    Limit { name, old_name: None, default, min: 0, max: i64::MAX, is_size: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_at_its_place() {
        let live = LiveLimits::default();
        for at in 0..LIMITS.len() {
            live.set(at, 1000 + at as i64);
            assert_eq!(live.get(at), 1000 + at as i64);
        }
        let now = live.now();
        assert_eq!(
            (now.hash_entries, now.hash_value_bytes, now.hll_sparse_bytes, now.list_size),
            (1000, 1001, 1002, 1003)
        );
        assert_eq!((now.set_ints, now.set_entries, now.set_value_bytes), (1004, 1005, 1006));
        assert_eq!((now.stream_node_bytes, now.stream_node_entries), (1007, 1008));
        assert_eq!((now.zset_entries, now.zset_value_bytes), (1009, 1010));
    }
}
