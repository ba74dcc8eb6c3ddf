//! Active expiry and compaction: upkeep that a worker runs a little of, many times a second.

use std::sync::atomic::Ordering::Relaxed;

use swell_ring::Slot;

use crate::engine::{Engine, Local};
use crate::exec::Exec;
use crate::key::all_dbs;
use crate::stripe::{STRIPE_SLOTS, STRIPES};

/// Keys looked at under one lock; about 100 µs.
const KEYS_PER_LOCK: u64 = 1_000;

/// Where upkeep goes on, one per engine and worker that runs it.
#[derive(Debug, Default)]
pub struct UpkeepCursor {
    stripe: usize,
    compact_stripe: usize,
    compact_at: usize,
}

impl Engine {
    /// Deletes expired keys until about `keys_max` were looked at or nothing is due. Returns the keys looked at.
    pub fn expire_due(&self, local: &mut Local, cursor: &mut UpkeepCursor, now_ms: u64, keys_max: u64) -> u64 {
        let mut visited = 0;
        for _ in 0..STRIPES {
            let index = cursor.stripe;
            if self.stripe(index).earliest_expiry_ms.load(Relaxed) < now_ms {
                visited += self.expire_stripe(local, index, now_ms);
            }
            cursor.stripe = (index + 1) % STRIPES;
            if visited >= keys_max {
                break;
            }
        }
        visited
    }

    /// Deletes expired keys of one stripe, some slots per lock.
    fn expire_stripe(&self, local: &mut Local, index: usize, now_ms: u64) -> u64 {
        let stripe = self.stripe(index);
        let mut total = 0;
        let mut at = 0;
        let mut earliest = u64::MAX;
        while at < STRIPE_SLOTS {
            if !stripe.lock_briefly() {
                return total;
            }
            if at == 0 {
                // Whoever sets an expiry from here on lowers this again.
                stripe.earliest_expiry_ms.store(u64::MAX, Relaxed);
            }
            let mut visited = 0;
            while at < STRIPE_SLOTS && visited < KEYS_PER_LOCK {
                visited += self.expire_at(local, index, at, now_ms, &mut earliest);
                at += 1;
            }
            if earliest < stripe.earliest_expiry_ms.load(Relaxed) {
                stripe.earliest_expiry_ms.store(earliest, Relaxed);
            }
            stripe.unlock();
            total += visited;
        }
        total
    }

    /// One slot of a locked stripe, in all databases.
    fn expire_at(&self, local: &mut Local, index: usize, at: usize, now_ms: u64, earliest: &mut u64) -> u64 {
        let Some(slot) = Slot::new((index * STRIPE_SLOTS + at) as u16) else { return 0 };
        let stripe = self.stripe(index);
        let mut visited = 0;
        for db in all_dbs() {
            // SAFETY: the stripe is locked by the caller; the reference ends before the next one is made.
            let due = unsafe { stripe.directory(db) }.map(|directory| directory.earliest_expiry_ms[at]);
            let Some(due) = due else { continue };
            // SAFETY: as above.
            if due < now_ms && unsafe { stripe.data() }.gate_at(at).may_reap() {
                visited += Exec::upkeep(self, local, now_ms).expire_slot(slot, db);
            }
            // SAFETY: as above.
            let next = unsafe { stripe.directory(db) }.map_or(u64::MAX, |directory| directory.earliest_expiry_ms[at]);
            *earliest = (*earliest).min(next);
        }
        visited
    }

    /// Moves entries out of sparse spans, one slot after the other, until about `bytes_max` were moved or
    /// `slots_max` slots were looked at. Returns the bytes moved.
    pub fn compact(&self, local: &mut Local, cursor: &mut UpkeepCursor, bytes_max: u64, slots_max: usize) -> u64 {
        let mut moved = 0;
        for _ in 0..slots_max {
            let (index, at) = (cursor.compact_stripe, cursor.compact_at);
            cursor.compact_at = (at + 1) % STRIPE_SLOTS;
            if cursor.compact_at == 0 {
                cursor.compact_stripe = (index + 1) % STRIPES;
            }
            let stripe = self.stripe(index);
            let Some(slot) = Slot::new((index * STRIPE_SLOTS + at) as u16) else { continue };
            if stripe.key_count_hint(false) == 0 || !stripe.lock_briefly() {
                continue;
            }
            // SAFETY: the stripe is locked.
            if unsafe { stripe.data() }.gate_at(at).may_reap() {
                for db in all_dbs() {
                    moved += Exec::upkeep(self, local, 0).compact_slot(slot, db);
                }
            }
            stripe.unlock();
            if moved >= bytes_max {
                break;
            }
        }
        moved
    }

    /// Whether the heap holds so much more than is in use that moving entries together is worth it.
    pub fn is_sparse(&self) -> bool {
        let stats = self.heap_stats();
        stats.held_bytes > stats.live_bytes + stats.live_bytes / 16 + 1024 * 1024
    }
}
