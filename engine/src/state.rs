//! The cache state document, as far as an engine is concerned: settings and the databases' permutation, by name.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

use swell_ring::CacheState;

use crate::engine::Engine;
use crate::evict::Policy;
use crate::key::{DATABASES, Db, all_dbs};
use crate::notify::Class;
use crate::stripe::STRIPES;
use crate::value::limits::LIMITS;

/// How many nodes there may be: not an engine's setting, but scripts may name keys of one slot only if it is above 1.
const NODES_MAX: &str = "nodes-max";

/// Why a document cannot be taken over. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cache state says {name} = '{value}', which does not fit")]
pub struct BadState {
    pub name: String,
    pub value: String,
}

/// One setting: its name in the document, how it is read (and then applied), how it is written.
struct Row {
    name: &'static str,
    read: fn(&str) -> Option<Change>,
    write: fn(&Engine) -> String,
}

/// A value that fits.
#[derive(Clone, Copy, Debug)]
enum Change {
    MaxMemory(u64),
    Policy(Policy),
    LfuDecay(u32),
    LfuFactor(u32),
    StringBytes(u64),
    ItemBytes(u64),
    SparesOnlyResp(bool),
    Notified(Class),
    /// Where each database lives, four bits each.
    Databases(u64),
    /// One of [`LIMITS`] by its place.
    Limit(usize, i64),
    /// Milliseconds after which a script is told of.
    ScriptLimit(u64),
}

const ROWS: &[Row] = &[
    Row {
        name: "busy-reply-threshold",
        read: |text| text.parse().ok().map(Change::ScriptLimit),
        write: |engine| engine.scripts().limit_ms().to_string(),
    },
    Row {
        name: "databases",
        read: |text| read_databases(text).map(Change::Databases),
        write: |engine| write_databases(engine.databases.load(Relaxed)),
    },
    Row {
        name: "lfu-decay-time",
        read: |text| text.parse().ok().map(Change::LfuDecay),
        write: |engine| engine.settings().lfu_decay_minutes().to_string(),
    },
    Row {
        name: "lfu-log-factor",
        read: |text| text.parse().ok().map(Change::LfuFactor),
        write: |engine| engine.settings().lfu_log_factor().to_string(),
    },
    Row {
        name: "maxmemory",
        read: |text| text.parse().ok().map(Change::MaxMemory),
        write: |engine| engine.settings().maxmemory_total_bytes().to_string(),
    },
    Row {
        name: "maxmemory-policy",
        read: |text| text.parse().ok().map(Change::Policy),
        write: |engine| engine.settings().policy().name().to_owned(),
    },
    Row {
        name: "memcached-item-bytes-max",
        read: |text| text.parse().ok().map(Change::ItemBytes),
        write: |engine| engine.settings().item_bytes_max().to_string(),
    },
    Row {
        name: "notify-keyspace-events",
        read: |text| Class::parse(text.as_bytes()).map(Change::Notified),
        write: |engine| engine.settings().notified().in_full(),
    },
    Row {
        name: "proto-max-bulk-len",
        read: |text| text.parse().ok().map(Change::StringBytes),
        write: |engine| engine.settings().string_bytes_max().to_string(),
    },
    Row {
        name: "spares-only-resp",
        read: |text| yes_or_no(text).map(Change::SparesOnlyResp),
        write: |engine| if engine.settings().spares_only_resp() { "yes" } else { "no" }.to_owned(),
    },
];

impl Engine {
    /// Takes over what a document says; names that are not an engine's are skipped. The caller announces the document's
    /// version afterwards, and is the only one to call this.
    ///
    /// # Errors
    /// A value that does not fit; then nothing is changed.
    pub fn apply_state(&self, state: &CacheState) -> Result<(), BadState> {
        let mut changes = Vec::new();
        for row in ROWS {
            let Some(value) = state.entries.get(row.name) else { continue };
            let bad = || BadState { name: row.name.to_owned(), value: value.clone() };
            changes.push((row.read)(value).ok_or_else(bad)?);
        }
        for (at, limit) in LIMITS.iter().enumerate() {
            let Some(value) = state.entries.get(limit.name) else { continue };
            let bad = || BadState { name: limit.name.to_owned(), value: value.clone() };
            let number = value.parse().ok().filter(|number| (limit.min..=limit.max).contains(number));
            changes.push(Change::Limit(at, number.ok_or_else(bad)?));
        }
        changes.into_iter().for_each(|change| self.change(change));
        let nodes_max = state.entries.get(NODES_MAX).and_then(|text| text.parse::<u32>().ok()).unwrap_or(1);
        self.scripts().set_strict(nodes_max > 1);
        self.apply_scripts(&state.entries);
        Ok(())
    }

    /// What a document has to say for an engine to be as this one: the first document of a cache.
    pub fn state_entries(&self) -> BTreeMap<String, String> {
        let limits = LIMITS.iter().enumerate();
        let limits = limits.map(|(at, limit)| (limit.name, self.settings().live_limits().get(at).to_string()));
        let rows = ROWS.iter().map(|row| (row.name, (row.write)(self)));
        let entries = rows.chain(limits).map(|(name, value)| (name.to_owned(), value));
        entries.chain(self.script_entries()).collect()
    }

    fn change(&self, change: Change) {
        let settings = self.settings();
        match change {
            Change::ScriptLimit(limit_ms) => self.scripts().set_limit_ms(limit_ms),
            Change::MaxMemory(bytes) => settings.set_maxmemory_total_bytes(bytes),
            Change::Policy(policy) => settings.set_policy(policy),
            Change::LfuDecay(minutes) => settings.set_lfu_decay_minutes(minutes),
            Change::LfuFactor(factor) => settings.set_lfu_log_factor(factor),
            Change::StringBytes(bytes) => settings.set_string_bytes_max(bytes),
            Change::ItemBytes(bytes) => settings.set_item_bytes_max(bytes),
            Change::SparesOnlyResp(spares) => settings.set_spares_only_resp(spares),
            Change::Notified(classes) => settings.set_notified(classes),
            Change::Databases(map) => self.change_databases(map),
            Change::Limit(at, value) => settings.live_limits().set(at, value),
        }
    }

    /// As SWAPDB: no command sees half of it.
    fn change_databases(&self, map: u64) {
        if self.databases.load(Relaxed) == map {
            return;
        }
        let all: Vec<_> = (0..STRIPES).map(|index| self.stripe(index).hold_patiently()).collect();
        let before: Vec<Db> = all_dbs().map(|db| self.map_db(db)).collect();
        self.databases.store(map, Relaxed);
        let number_at = |place| all_dbs().zip(&before).find(|(_, at)| **at == place).map_or(place, |(db, _)| db);
        // Without a clock whatever is there counts as live, and who watches it is told.
        self.tell_watchers_of_swap(|place| self.map_db(number_at(place)), 0);
        let mut wakers = Vec::new();
        for index in 0..STRIPES {
            // SAFETY: all locks are held.
            let queues = unsafe { self.stripe(index).data() }.queues();
            wakers.extend(queues.into_iter().flat_map(|queues| queues.begin_anew()));
        }
        drop(all);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Sixteen numbers, each once: where database 0 lives, where 1, and so on.
fn read_databases(text: &str) -> Option<u64> {
    let (mut map, mut seen, mut count) = (0, 0u32, 0);
    for part in text.split(',') {
        let place: u64 = part.trim().parse().ok().filter(|place| *place < DATABASES as u64)?;
        if count == DATABASES {
            return None;
        }
        map |= place << (4 * count);
        seen |= 1 << place;
        count += 1;
    }
    (seen == (1 << DATABASES) - 1).then_some(map)
}

fn write_databases(map: u64) -> String {
    let places: Vec<String> = (0..DATABASES).map(|db| (map >> (4 * db) & 0xf).to_string()).collect();
    places.join(",")
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Db;

    fn state(entries: &[(&str, &str)]) -> CacheState {
        CacheState::default().changed(entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn a_document_is_taken_over_and_written_again() {
        let (one, other) = (Engine::new(1), Engine::new(1));
        let entries = [
            ("maxmemory", "1000000"),
            ("maxmemory-policy", "volatile-lfu"),
            ("lfu-decay-time", "3"),
            ("lfu-log-factor", "4"),
            ("proto-max-bulk-len", "1048576"),
            ("memcached-item-bytes-max", "5000"),
            ("spares-only-resp", "yes"),
            ("notify-keyspace-events", "g$lshzxetdnKE"),
            ("databases", "1,0,2,3,4,5,6,7,8,9,10,11,12,13,14,15"),
            ("users", "somebody else's"),
        ];
        one.apply_state(&state(&entries)).unwrap();
        assert_eq!((one.settings().maxmemory_bytes(), one.settings().policy()), (1_000_000, Policy::VolatileLfu));
        assert_eq!((one.settings().item_bytes_max(), one.settings().spares_only_resp()), (5_000, true));
        assert_eq!(one.map_db(Db::default()).number(), 1);
        let written = CacheState { version: 1, entries: one.state_entries() };
        assert_eq!(written.entries.len(), ROWS.len() + LIMITS.len());
        for (name, value) in &entries[..9] {
            assert_eq!(&written.entries[*name], value);
        }
        assert_ne!(other.state_entries(), written.entries);
        other.apply_state(&written).unwrap();
        assert_eq!(other.state_entries(), written.entries);
    }

    #[test]
    fn an_engine_holds_its_share_of_the_maximum() {
        let engine = Engine::new(1);
        let settings = engine.settings();
        engine.apply_state(&state(&[("maxmemory", "1638400")])).unwrap();
        for (slots, share) in [(4096, 409_600), (1, 100), (16384, 1_638_400), (99_999, 1_638_400), (0, 1_638_400)] {
            settings.set_maxmemory_slots(slots);
            assert_eq!((settings.maxmemory_bytes(), settings.maxmemory_total_bytes()), (share, 1_638_400), "{slots}");
        }
        settings.set_maxmemory_slots(4096);
        assert_eq!(engine.state_entries()["maxmemory"], "1638400", "what is written is the whole");
        engine.apply_state(&state(&[("maxmemory", "819200")])).unwrap();
        assert_eq!(settings.maxmemory_bytes(), 204_800, "a new maximum is shared as the old one was");
        // However little it is, it is not no limit.
        engine.apply_state(&state(&[("maxmemory", "1")])).unwrap();
        assert_eq!(settings.maxmemory_bytes(), 1);
        engine.apply_state(&state(&[("maxmemory", "0")])).unwrap();
        assert_eq!((settings.maxmemory_bytes(), settings.maxmemory_total_bytes()), (0, 0));
    }

    #[test]
    fn a_bad_value_changes_nothing() {
        let engine = Engine::new(1);
        let before = engine.state_entries();
        for (name, value) in [
            ("maxmemory", "-1"),
            ("hash-max-listpack-entries", "-1"),
            ("maxmemory-policy", "lru"),
            ("spares-only-resp", "true"),
            ("notify-keyspace-events", "KEq"),
            ("databases", "0,1"),
            ("databases", "0,0,2,3,4,5,6,7,8,9,10,11,12,13,14,15"),
            ("databases", "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,0"),
            ("databases", "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,16"),
        ] {
            let refused = engine.apply_state(&state(&[("lfu-decay-time", "9"), (name, value)])).unwrap_err();
            assert_eq!((refused.name.as_str(), refused.value.as_str()), (name, value));
            assert_eq!(engine.state_entries(), before, "{name} {value}");
        }
    }
}
