//! Looking keys up: with a trace or without, and memcached's uniques.

use super::Exec;
use crate::effect::Effect;
use crate::entry::{Entry, EntryPtr, Fields};
use crate::key::Key;
use crate::notify::Class;

impl Exec<'_> {
    /// Looks a key up for reading: counts a hit or miss, notes the access, drops it if it has expired.
    #[inline]
    pub fn read(&mut self, key: Key<'_>) -> Option<Entry<'_>> {
        let Some(entry) = self.find(key) else {
            self.local.stats.misses += 1;
            self.notify(Class::MISS, "keymiss", key);
            return None;
        };
        self.local.stats.hits += 1;
        self.touch(entry);
        Some(entry.view())
    }

    /// Looks a key up for changing it: notes the access, counts nothing.
    #[inline]
    pub fn write_lookup(&mut self, key: Key<'_>) -> Option<Entry<'_>> {
        let entry = self.find(key)?;
        self.touch(entry);
        Some(entry.view())
    }

    /// Looks a key up without a trace.
    #[inline]
    pub fn peek(&mut self, key: Key<'_>) -> Option<Entry<'_>> {
        self.find(key).map(EntryPtr::view)
    }

    /// Looks a key up without a trace, beside others: one that has expired is missing, and stays for others to delete.
    pub fn look(&self, key: Key<'_>) -> Option<Entry<'_>> {
        let (_, entry) = self.position(key)?;
        entry.expire_at_ms().is_none_or(|at| at >= self.now_ms).then(|| entry.view())
    }

    /// Counts a keyspace hit or miss for a body that used `peek`.
    pub fn count_lookup(&mut self, hit: bool) {
        if hit {
            self.local.stats.hits += 1;
        } else {
            self.local.stats.misses += 1;
        }
    }

    /// The memcached unique of an entry, if it has one.
    pub fn cas_of(&mut self, key: Key<'_>) -> Option<u64> {
        self.find(key)?.fields().cas
    }

    /// The memcached unique of an entry that exists, given now if it had none.
    pub fn ensure_cas(&mut self, key: Key<'_>) -> u64 {
        let Some(entry) = self.find(key) else { return 0 };
        let fields = entry.fields();
        if let Some(cas) = fields.cas {
            return cas;
        }
        let cas = self.engine.fresh_cas();
        if !self.stripe_data(key.slot).gate_of(key.slot).may_reap() {
            // The slot may not change now. A unique that is not kept makes the client's cas fail, which is safe.
            return cas;
        }
        self.before(key, Some(entry));
        let stored = self.rewrite(key, entry, Fields { cas: Some(cas), ..fields });
        self.after(key, || Effect::Put(stored.view()));
        cas
    }
}
