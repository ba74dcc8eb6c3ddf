//! Active expiry and compaction: upkeep that a worker runs a little of, many times a second. No lock is held for more
//! than about 100 µs, however many keys a slot has.

use std::sync::atomic::Ordering::Relaxed;

use swell_ring::{SLOTS, Slot};

use crate::engine::{Engine, Local};
use crate::exec::Exec;
use crate::key::{DATABASES, Db, all_dbs};
use crate::stripe::{STRIPE_SLOTS, STRIPES, stripe_of};

/// Keys looked at under one lock.
const KEYS_PER_LOCK: usize = 512;

/// Where upkeep goes on, one per engine and worker that runs it.
#[derive(Debug, Default)]
pub struct UpkeepCursor {
    /// The stripe where expiry goes on.
    stripe: usize,
    /// Slot, database and hash where compaction goes on.
    slot: usize,
    db: usize,
    hash: u32,
}

impl Engine {
    /// Deletes expired keys until about `keys_max` were looked at or nothing is due. Returns the keys looked at.
    pub fn expire_due(&self, local: &mut Local, cursor: &mut UpkeepCursor, now_ms: u64, keys_max: u64) -> u64 {
        let mut visited = 0;
        if !self.settings().may_reap() || !self.settings().expires_actively() {
            return visited;
        }
        for _ in 0..STRIPES {
            let index = cursor.stripe;
            if self.stripe(index).earliest_expiry_ms.load(Relaxed) < now_ms {
                self.expire_stripe(local, index, now_ms, &mut visited);
            }
            cursor.stripe = (index + 1) % STRIPES;
            if visited >= keys_max {
                break;
            }
        }
        visited
    }

    /// Deletes the expired keys of one stripe.
    fn expire_stripe(&self, local: &mut Local, index: usize, now_ms: u64, visited: &mut u64) {
        let stripe = self.stripe(index);
        // Whoever sets an expiry from here on lowers this again; what stays is added at the end.
        stripe.earliest_expiry_ms.store(u64::MAX, Relaxed);
        let mut earliest = u64::MAX;
        for slot in (index * STRIPE_SLOTS..(index + 1) * STRIPE_SLOTS).filter_map(|slot| Slot::new(slot as u16)) {
            for db in all_dbs() {
                earliest = earliest.min(self.expire_slot(local, slot, db, now_ms, visited));
            }
        }
        stripe.earliest_expiry_ms.fetch_min(earliest, Relaxed);
    }

    /// Deletes the expired keys of one slot, a part per lock; returns when the next one expires, or 0 to come again.
    fn expire_slot(&self, local: &mut Local, slot: Slot, db: Db, now_ms: u64, visited: &mut u64) -> u64 {
        let stripe = self.stripe(stripe_of(slot));
        // Not whether any key expires: a hash that does not may have fields that do.
        if stripe.db_count(db, false) == 0 {
            return u64::MAX;
        }
        let at = slot.index() % STRIPE_SLOTS;
        let mut cursor = Some(0);
        while let Some(from) = cursor {
            let Some(_held) = stripe.hold_briefly() else { return 0 };
            // SAFETY: the lock is held; the reference ends with the statement.
            let due = unsafe { stripe.directory(db) }.map_or(u64::MAX, |directory| directory.earliest_expiry_ms[at]);
            if from == 0 && due >= now_ms {
                return due;
            }
            // SAFETY: as above.
            if !unsafe { stripe.data() }.gate_of(slot).may_reap() {
                return due;
            }
            cursor = Exec::upkeep(self, local, now_ms).expire_part(slot, db, from, KEYS_PER_LOCK, visited);
        }
        let Some(_held) = stripe.hold_briefly() else { return 0 };
        // SAFETY: as above.
        unsafe { stripe.directory(db) }.map_or(u64::MAX, |directory| directory.earliest_expiry_ms[at])
    }

    /// Moves entries out of sparse spans, until about `bytes_max` were moved or `parts_max` slots (or parts of large
    /// ones) were looked at. Returns the bytes moved.
    pub fn compact(&self, local: &mut Local, cursor: &mut UpkeepCursor, bytes_max: u64, parts_max: usize) -> u64 {
        let mut moved = 0;
        let mut parts = 0;
        // Empty stripes are passed over quickly, so this ends after one round at the latest.
        for _ in 0..SLOTS * DATABASES {
            if parts >= parts_max || moved >= bytes_max {
                break;
            }
            parts += usize::from(self.compact_next(local, cursor, &mut moved));
        }
        moved
    }

    /// One part of the slot and database at the cursor; says whether there was anything.
    fn compact_next(&self, local: &mut Local, cursor: &mut UpkeepCursor, moved: &mut u64) -> bool {
        let (Some(slot), Some(db)) = (Slot::new(cursor.slot as u16), Db::new(cursor.db as i64)) else {
            *cursor = UpkeepCursor { stripe: cursor.stripe, ..UpkeepCursor::default() };
            return false;
        };
        let stripe = self.stripe(stripe_of(slot));
        let mut next = None;
        let mut looked = false;
        if stripe.db_count(db, false) > 0
            && let Some(_held) = stripe.hold_briefly()
        {
            looked = true;
            // SAFETY: the lock is held.
            if unsafe { stripe.data() }.gate_of(slot).may_reap() {
                next = Exec::upkeep(self, local, 0).compact_part(slot, db, cursor.hash, KEYS_PER_LOCK, moved);
            }
        }
        cursor.hash = next.unwrap_or(0);
        if next.is_none() {
            cursor.slot += 1;
            if cursor.slot == SLOTS {
                (cursor.slot, cursor.db) = (0, (cursor.db + 1) % DATABASES);
            }
        }
        looked
    }
}
