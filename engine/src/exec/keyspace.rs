//! The whole key space, for walks and bodies with every stripe locked.

use swell_ring::Slot;

use super::{Exec, hash_of};
use crate::engine::{Engine, Local};
use crate::entry::{Entry, EntryPtr};
use crate::gate::Gate;
use crate::key::{Db, Key};
use crate::stripe::{STRIPE_SLOTS, STRIPES, stripe_of};
use crate::table::ScanCursor;

impl Exec<'_> {
    /// Keys of a database, in the slots that count.
    pub fn db_len(&mut self, db: Db) -> u64 {
        (0..STRIPES).map(|index| self.engine.stripe(index).db_count(db, false)).sum()
    }

    /// Whether every slot counts here, so that there is no key that this engine does not have. Every stripe is locked.
    pub fn serves_every_slot(&self) -> bool {
        let first_slots = (0..STRIPES).filter_map(|index| Slot::new((index * STRIPE_SLOTS) as u16));
        first_slots.map(|slot| self.stripe_data(slot)).all(|data| data.gates().all(Gate::counts))
    }

    /// Exchanges two databases. Every stripe is locked. No entry changes its place, so of those who follow only those
    /// who watch are told: effects name databases by where they live. Who waits goes on waiting for the database that his
    /// number means.
    pub fn swap_db(&mut self, one: Db, other: Db) {
        let (at_one, at_other) = (self.engine.map_db(one), self.engine.map_db(other));
        self.engine.swap_db(one, other);
        let to = |db| match db {
            db if db == at_one => at_other,
            db if db == at_other => at_one,
            db => db,
        };
        let (engine, now_ms) = (self.engine, self.now_ms);
        engine.tell_watchers_of_swap(to, now_ms);
        let first_slots = (0..STRIPES).filter_map(|index| Slot::new((index * STRIPE_SLOTS) as u16));
        for slot in first_slots {
            if let Some(queues) = self.stripe_data(slot).queues() {
                self.local.ready.extend(queues.swap_db(at_one, at_other, now_ms, |key| engine.hasher().hash(key)));
            }
        }
    }

    /// Visits about `count` live keys of one slot, from a hash cursor on; expired ones are dropped, not shown.
    /// Returns where to go on, or nothing when the slot is done (or does not count). The slot's stripe is locked.
    pub fn scan_slot(
        &mut self,
        slot: Slot,
        db: Db,
        cursor: u32,
        count: usize,
        each: impl FnMut(Entry<'_>),
    ) -> Option<u32> {
        if !self.stripe_data(slot).gate_of(slot).counts() {
            return None;
        }
        self.scan_any_slot(slot, db, cursor, count, each)
    }

    fn scan_any_slot(
        &mut self,
        slot: Slot,
        db: Db,
        cursor: u32,
        count: usize,
        mut each: impl FnMut(Entry<'_>),
    ) -> Option<u32> {
        let now_ms = self.now_ms;
        let engine = self.engine;
        let mut expired = Vec::new();
        let next = {
            let table = self.table(slot, db)?;
            table.scan(ScanCursor::from_raw(cursor), count, hash_of(engine), |raw| {
                // SAFETY: the table's words are live entries and the stripe is locked.
                let entry = unsafe { EntryPtr::from_raw(raw) };
                match entry.expire_at_ms() {
                    Some(at) if at < now_ms => expired.push(entry.key().to_vec()),
                    _ => each(entry.view()),
                }
            })
        };
        for bytes in expired {
            let key = Key { db, ..self.key_of(&bytes) };
            self.find(key);
        }
        next.map(ScanCursor::raw)
    }

    /// Keys of one slot in one database; 0 where they do not count. The slot's stripe is locked.
    pub fn slot_len(&mut self, slot: Slot, db: Db) -> u64 {
        if !self.stripe_data(slot).gate_of(slot).counts() {
            return 0;
        }
        self.table(slot, db).map_or(0, |table| u64::from(table.len()))
    }

    /// A key of the slot picked by a random number, expired or not.
    pub fn random_key(&mut self, slot: Slot, db: Db) -> Option<Entry<'_>> {
        let random = self.local.random();
        let raw = self.table(slot, db)?.random(random)?;
        // SAFETY: as in scan_slot.
        Some(unsafe { EntryPtr::from_raw(raw) }.view())
    }

    /// Takes every key of a slot in one database away; returns how many. The entries go to the worker's garbage, which
    /// is freed in slices after the lock: however many there are, the lock is held for a moment only. The slot's
    /// stripe is locked.
    pub fn clear_slot(&mut self, slot: Slot, db: Db) -> u64 {
        let keys = self.drop_table(slot, db);
        if keys > 0
            && let Some(observers) = &mut self.stripe_data(slot).observer
        {
            observers.cleared(slot, db);
            if let Some(queues) = &mut observers.queues {
                let (engine, now_ms) = (self.engine, self.now_ms);
                self.local.ready.extend(queues.note_cleared(slot, db, now_ms, |key| engine.hasher().hash(key)));
            }
        }
        keys
    }

    /// As `clear_slot`, and tells nobody.
    pub(crate) fn drop_table(&mut self, slot: Slot, db: Db) -> u64 {
        if self.table(slot, db).is_none_or(|table| table.is_empty() && table.array_bytes() == 0) {
            return 0;
        }
        let mut place = self.place(Key { bytes: b"", hash: 0, slot, db });
        let table = std::mem::take(place.table());
        let (keys, volatile) = (table.len(), table.volatile);
        place.count(-(keys as i32), -(volatile as i32));
        place.directory.earliest_expiry_ms[place.at] = u64::MAX;
        if !self.counts {
            place.stripe.add_uncounted(-(table.bytes as i64 + table.array_bytes() as i64));
        }
        self.local.garbage.push(table);
        u64::from(keys)
    }
}

/// Visits the live keys of one slot under its lock, whatever its gate: for tools and tests.
pub fn inspect_slot(
    engine: &Engine,
    local: &mut Local,
    slot: Slot,
    db: Db,
    now_ms: u64,
    mut each: impl FnMut(Entry<'_>),
) {
    let _held = engine.stripe(stripe_of(slot)).hold_patiently();
    let mut exec = Exec::upkeep(engine, local, now_ms);
    let mut cursor = Some(0);
    while let Some(at) = cursor {
        cursor = exec.scan_any_slot(slot, db, at, usize::MAX, &mut each);
    }
}
