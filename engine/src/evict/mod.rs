//! What goes when memory is full: the eight policies, and the sampled search for a victim.

mod pool;

use std::str::FromStr;

use crate::engine::{Engine, Fullness, Local};
use crate::entry::EntryPtr;
use crate::error::Fault;
use crate::key::{Db, all_dbs};
use crate::stripe::{STRIPE_SLOTS, STRIPES, Stripe};
use pool::Candidate;
pub use pool::Pool;

/// Keys looked at for one eviction (Redis: `maxmemory-samples`, 5; here a sample is a run in one table, cheaper).
pub const SAMPLES: usize = 16;
/// Most keys one request may have to evict before it goes on: enough for a value of 1 MiB in place of small ones (some
/// milliseconds); upkeep evicts the rest.
const EVICTIONS_PER_REQUEST_MAX: usize = 16_384;
/// Most keys that upkeep evicts in one tick; about a millisecond's work.
const EVICTIONS_PER_TICK: usize = 1_000;
/// Places looked at for one eviction, where keys are few.
const SEARCHES_MAX: usize = 8;
/// Most keys a request evicts while only the memory held in vain is too much.
const EVICTIONS_WHEN_SPARSE: usize = 32;
/// Bytes that such a request moves together at most, and slots it looks at for that.
const PACKED_BYTES_WHEN_SPARSE: u64 = 16 * 1024;
const PACKED_SLOTS_WHEN_SPARSE: usize = 2;
/// How often a search may find nothing before memory counts as full.
const FRUITLESS_MAX: usize = 64;

/// The eight eviction policies of Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Policy {
    #[default]
    NoEviction,
    AllKeysLru,
    AllKeysLfu,
    AllKeysRandom,
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    VolatileTtl,
}

impl Policy {
    /// All policies with the names that configuration and INFO use.
    pub const NAMES: [(Policy, &'static str); 8] = [
        (Policy::NoEviction, "noeviction"),
        (Policy::AllKeysLru, "allkeys-lru"),
        (Policy::AllKeysLfu, "allkeys-lfu"),
        (Policy::AllKeysRandom, "allkeys-random"),
        (Policy::VolatileLru, "volatile-lru"),
        (Policy::VolatileLfu, "volatile-lfu"),
        (Policy::VolatileRandom, "volatile-random"),
        (Policy::VolatileTtl, "volatile-ttl"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize].1
    }

    /// The policy with this number (its place in [`Policy::NAMES`]).
    pub(crate) fn from_number(number: u8) -> Policy {
        Self::NAMES[number as usize % Self::NAMES.len()].0
    }

    /// Whether the access clock counts frequency.
    #[inline]
    pub fn is_lfu(self) -> bool {
        matches!(self, Policy::AllKeysLfu | Policy::VolatileLfu)
    }

    /// Whether only keys with an expiry may go.
    pub fn is_volatile(self) -> bool {
        matches!(self, Policy::VolatileLru | Policy::VolatileLfu | Policy::VolatileRandom | Policy::VolatileTtl)
    }

    /// How gladly an entry is given up: the highest goes first.
    fn score(self, entry: EntryPtr, engine: &Engine, local: &mut Local, now_ms: u64) -> Option<u64> {
        let is_protected = match self {
            Policy::NoEviction => !entry.is_memcached(),
            _ if self.is_volatile() => entry.expire_at_ms().is_none() && !entry.is_memcached(),
            _ => false,
        };
        if is_protected {
            return None;
        }
        Some(match self {
            Policy::NoEviction => crate::clock::idle_ms(entry.clock(), now_ms),
            Policy::AllKeysLru | Policy::VolatileLru => crate::clock::idle_ms(entry.clock(), now_ms),
            Policy::AllKeysLfu | Policy::VolatileLfu => {
                let decay = engine.settings().lfu_decay_minutes();
                255 - u64::from(crate::clock::lfu_decayed(entry.clock(), now_ms, decay))
            }
            Policy::AllKeysRandom | Policy::VolatileRandom => local.random() >> 1,
            Policy::VolatileTtl => u64::MAX - entry.expire_at_ms().unwrap_or(u64::MAX),
        })
    }
}

impl FromStr for Policy {
    type Err = ();

    fn from_str(name: &str) -> Result<Policy, ()> {
        let found = Self::NAMES.iter().find(|(_, known)| known.eq_ignore_ascii_case(name));
        found.map(|(policy, _)| *policy).ok_or(())
    }
}

impl Engine {
    /// Makes room before a command that needs memory, if the cache is full. Takes and holds no lock of the command.
    ///
    /// Above the maximum it evicts until there is room; where only the memory held in vain is too much (see
    /// [`Fullness`]), a few keys at a time, while upkeep packs.
    ///
    /// # Errors
    /// [`Fault::OutOfMemory`] when nothing may be evicted.
    #[inline]
    pub fn make_room(&self, local: &mut Local, now_ms: u64) -> Result<(), Fault> {
        match self.fullness(local) {
            Fullness::Room => Ok(()),
            Fullness::Sparse => {
                self.pack_some(local);
                self.evict_some(local, now_ms, EVICTIONS_WHEN_SPARSE)
            }
            Fullness::Full => self.evict_some(local, now_ms, EVICTIONS_PER_REQUEST_MAX),
        }
    }

    /// Goes on evicting where requests left too much (one may add more than it may evict, and the maximum may have been
    /// lowered). Says whether there is more to do at once.
    pub fn evict_in_upkeep(&self, local: &mut Local, now_ms: u64) -> bool {
        self.settings().may_reap()
            && self.fullness(local) == Fullness::Full
            && self.evict_some(local, now_ms, EVICTIONS_PER_TICK).is_ok()
            && self.fullness(local) == Fullness::Full
    }

    /// Whoever adds to memory that is held in vain packs a little of it: upkeep alone may be too slow.
    #[cold]
    fn pack_some(&self, local: &mut Local) {
        let mut cursor = std::mem::take(&mut local.packing);
        self.compact(local, &mut cursor, PACKED_BYTES_WHEN_SPARSE, PACKED_SLOTS_WHEN_SPARSE);
        local.packing = cursor;
    }

    #[cold]
    fn evict_some(&self, local: &mut Local, now_ms: u64, evictions_max: usize) -> Result<(), Fault> {
        let policy = self.settings().policy();
        if policy == Policy::NoEviction && !(self.settings().spares_only_resp() && self.has_memcached()) {
            return Err(Fault::OutOfMemory);
        }
        let mut fruitless = 0;
        let mut evicted = 0;
        while evicted < evictions_max && self.fullness(local) != Fullness::Room {
            if self.evict_one(local, policy, now_ms) {
                evicted += 1;
                fruitless = 0;
                continue;
            }
            fruitless += 1;
            if fruitless >= FRUITLESS_MAX {
                return Err(Fault::OutOfMemory);
            }
        }
        Ok(())
    }

    fn evict_one(&self, local: &mut Local, policy: Policy, now_ms: u64) -> bool {
        local.pool.follow(policy);
        let mut sampled = 0;
        for _ in 0..SEARCHES_MAX {
            sampled += self.sample(local, policy, now_ms);
            if sampled >= SAMPLES {
                break;
            }
        }
        while let Some(candidate) = local.pool.pop() {
            if self.evict_candidate(local, candidate, now_ms) {
                return true;
            }
        }
        false
    }

    /// Adds up to [`SAMPLES`] keys that lie beside each other, from a random place on, to the pool; says how many.
    /// Neighbours in a table, or in neighbouring slots, have nothing in common but their hashes.
    fn sample(&self, local: &mut Local, policy: Policy, now_ms: u64) -> usize {
        // Once memcached clients write, keys without an expiry are candidates too.
        let volatile_only = policy.is_volatile() && !self.has_memcached();
        let Some((stripe_index, seed)) = self.random_stripe(local, volatile_only) else { return 0 };
        let stripe = self.stripe(stripe_index);
        let Some(_held) = stripe.hold_briefly() else { return 0 };
        let Some((db, first)) = pick(stripe, seed, volatile_only) else { return 0 };
        // SAFETY: the lock is held to the end of this function.
        let (data, Some(directory)) = (unsafe { (stripe.data(), stripe.directory(db)) }) else { return 0 };
        let mut count = 0;
        for at in (first..STRIPE_SLOTS).chain(0..first) {
            if count >= SAMPLES {
                break;
            }
            if !data.gate_at(at).may_reap() {
                continue;
            }
            let wanted = if policy.is_volatile() { SAMPLES } else { SAMPLES - count };
            let mut entries = [None; SAMPLES];
            let mut found = 0;
            directory.tables[at].sample(seed as u32 ^ (seed >> 32) as u32, wanted, |raw| {
                // SAFETY: the table's words are live entries, the stripe is locked.
                entries[found] = Some(unsafe { EntryPtr::from_raw(raw) });
                crate::prefetch::prefetch(raw.as_ptr());
                found += 1;
            });
            for entry in entries.into_iter().flatten() {
                let Some(score) = policy.score(entry, self, local, now_ms) else { continue };
                count += 1;
                if local.pool.wants(score) {
                    let slot = (stripe_index * STRIPE_SLOTS + at) as u16;
                    let hash = self.hasher().hash(entry.key());
                    local.pool.offer(Candidate { score, hash, slot, db, clock: entry.clock() });
                }
            }
        }
        count
    }

    /// A stripe with keys, weighted by their number, and a random number.
    fn random_stripe(&self, local: &mut Local, volatile_only: bool) -> Option<(usize, u64)> {
        for _ in 0..STRIPES {
            let random = local.random();
            let index = random as usize % STRIPES;
            let count = self.stripe(index).key_count_hint(volatile_only);
            // Rejection by the number of keys: a stripe with half of the fullest one's keys is taken half as often.
            let fullest = local.fullest_stripe.max(count).max(1);
            local.fullest_stripe = fullest;
            if count > 0 && (random >> 32) % fullest < count {
                return Some((index, local.random()));
            }
        }
        local.fullest_stripe = 0;
        None
    }

    fn evict_candidate(&self, local: &mut Local, candidate: Candidate, now_ms: u64) -> bool {
        let Some(slot) = swell_ring::Slot::new(candidate.slot) else { return false };
        let stripe = self.stripe(crate::stripe::stripe_of(slot));
        let Some(held) = stripe.hold_briefly() else { return false };
        // SAFETY: the lock is held.
        let may_reap = unsafe { stripe.data() }.gate_of(slot).may_reap();
        let gone = may_reap && {
            let mut exec = crate::exec::Exec::upkeep(self, local, now_ms);
            exec.evict(slot, candidate.db, candidate.hash, candidate.clock)
        };
        drop(held);
        if gone {
            local.stats.evicted_keys += 1;
        }
        gone
    }
}

/// A database and slot (its place in the stripe) that holds the key picked by a random number. The lock is held.
fn pick(stripe: &Stripe, random: u64, volatile_only: bool) -> Option<(Db, usize)> {
    let total: u64 = all_dbs().map(|db| stripe.db_count(db, volatile_only)).sum();
    let mut left = random.checked_rem(total)?;
    for db in all_dbs() {
        let here = stripe.db_count(db, volatile_only);
        if left >= here {
            left -= here;
            continue;
        }
        // SAFETY: the caller holds the lock.
        let (data, directory) = unsafe { (stripe.data(), stripe.directory(db)?) };
        for (at, table) in directory.tables.iter().enumerate().filter(|(at, _)| data.gate_at(*at).counts()) {
            let here = u64::from(if volatile_only { table.volatile } else { table.len() });
            if left < here {
                return Some((db, at));
            }
            left -= here;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for (index, (policy, name)) in Policy::NAMES.into_iter().enumerate() {
            assert_eq!(policy as usize, index);
            assert_eq!(name.parse(), Ok(policy));
            assert_eq!(policy.name(), name);
            assert_eq!(policy.is_volatile(), name.starts_with("volatile"));
            assert_eq!(policy.is_lfu(), name.ends_with("lfu"));
        }
        assert_eq!("lru".parse::<Policy>(), Err(()));
    }
}
