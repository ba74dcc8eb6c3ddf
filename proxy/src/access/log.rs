//! What was refused lately (ACL LOG): the same again within a minute counts up an entry instead of making one.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::others::latin1;

/// Entries at most, unless CONFIG SET says otherwise (Valkey's default).
const LEN_MAX: u64 = 128;
/// How long an entry can be counted up after it was last, in milliseconds (Valkey's).
const GROUPING_MS: u64 = 60_000;
/// What is counted: a reason of [`Refused`], and the end of its name in INFO.
const COUNTED: [(&str, &str); 4] = [("command", "cmd"), ("key", "key"), ("channel", "channel"), ("database", "db")];
/// Entries that are compared with a new one (Valkey's).
const COMPARED_MAX: usize = 10;

/// One thing that was refused, as it happened last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub count: u64,
    pub refused: Refused,
    /// The client as CLIENT LIST showed it.
    pub client: String,
    pub id: u64,
    pub created_ms: u64,
    pub updated_ms: u64,
}

/// What was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// `command`, `key`, `channel`, `database` or `auth`.
    pub reason: Cow<'static, str>,
    /// `toplevel`, `multi` or `lua`.
    pub context: Cow<'static, str>,
    #[serde(with = "latin1")]
    pub object: Vec<u8>,
    #[serde(with = "latin1")]
    pub user: Vec<u8>,
}

/// The latest first.
pub struct Log {
    entries: Mutex<VecDeque<Entry>>,
    next_id: AtomicU64,
    len_max: AtomicU64,
    /// How often each of [`COUNTED`] was the reason.
    counts: [AtomicU64; COUNTED.len()],
}

impl Default for Log {
    fn default() -> Log {
        Log {
            entries: Mutex::default(),
            next_id: AtomicU64::new(0),
            len_max: AtomicU64::new(LEN_MAX),
            counts: Default::default(),
        }
    }
}

impl Log {
    /// Entries are numbered from here on: each proxy has numbers of its own.
    pub fn number_from(&self, first: u64) {
        self.next_id.store(first, Relaxed);
    }

    /// Notes it.
    pub fn add(&self, refused: Refused, client: String, now_ms: u64) {
        if let Some(at) = COUNTED.iter().position(|(reason, _)| *reason == refused.reason) {
            self.counts[at].fetch_add(1, Relaxed);
        }
        let mut entries = self.lock();
        let is_same =
            |entry: &Entry| entry.refused == refused && now_ms.saturating_sub(entry.updated_ms) <= GROUPING_MS;
        let known = entries.iter().take(COMPARED_MAX).position(is_same);
        let entry = match known.and_then(|at| entries.remove(at)) {
            Some(entry) => Entry { count: entry.count + 1, client, updated_ms: now_ms, ..entry },
            None => {
                let id = self.next_id.fetch_add(1, Relaxed);
                Entry { count: 1, refused, client, id, created_ms: now_ms, updated_ms: now_ms }
            }
        };
        entries.push_front(entry);
        entries.truncate(self.len_max() as usize);
    }

    /// The latest entries.
    pub fn latest(&self, count: usize) -> Vec<Entry> {
        self.lock().iter().take(count).cloned().collect()
    }

    /// How often what was refused, by its name in INFO, since the last [`Log::reset_counts`].
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        COUNTED.iter().zip(&self.counts).map(|((_, name), count)| (*name, count.load(Relaxed)))
    }

    /// Counts from zero (CONFIG RESETSTAT).
    pub fn reset_counts(&self) {
        self.counts.iter().for_each(|count| count.store(0, Relaxed));
    }

    /// Forgets all.
    pub fn reset(&self) {
        self.lock().clear();
    }

    /// Entries at most (`acllog-max-len`).
    pub fn len_max(&self) -> u64 {
        self.len_max.load(Relaxed)
    }

    /// A lower limit holds from the next entry on, as in Valkey.
    pub fn set_len_max(&self, len: u64) {
        self.len_max.store(len, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(object: &str) -> Refused {
        Refused { reason: "key".into(), context: "toplevel".into(), object: object.into(), user: b"u".to_vec() }
    }

    #[test]
    fn the_same_within_a_minute_is_one_entry_that_comes_first() {
        let log = Log::default();
        for (object, now_ms) in [("a", 1_000), ("b", 2_000), ("a", 61_000), ("b", 62_001)] {
            log.add(refused(object), now_ms.to_string(), now_ms);
        }
        let told: Vec<_> = log
            .latest(9)
            .into_iter()
            .map(|entry| (entry.refused.object, entry.count, entry.id, entry.created_ms, entry.client))
            .collect();
        assert_eq!(
            told,
            [
                (b"b".to_vec(), 1, 2, 62_001, "62001".to_owned()),
                (b"a".to_vec(), 2, 0, 1_000, "61000".to_owned()),
                (b"b".to_vec(), 1, 1, 2_000, "2000".to_owned()),
            ]
        );
        log.set_len_max(2);
        log.add(refused("c"), String::new(), 63_000);
        assert_eq!(log.latest(9).len(), 2);
        log.reset();
        assert!(log.latest(9).is_empty());
        assert_eq!(log.counts().collect::<Vec<_>>(), [("cmd", 0), ("key", 5), ("channel", 0), ("db", 0)]);
        log.reset_counts();
        assert!(log.counts().all(|(_, count)| count == 0));
    }
}
