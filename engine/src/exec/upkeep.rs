//! What upkeep does to keys: expiring, evicting, moving them together.

use std::ptr::NonNull;

use swell_ring::Slot;
use swell_wire::OwnedArgs;

use super::{Change, Exec, Missing, hash_of};
use crate::entry::{Content, Entry, EntryPtr};
use crate::key::{Db, Key};
use crate::notify::Class;
use crate::stripe::{STRIPE_SLOTS, stripe_of};
use crate::table::ScanCursor;
use crate::value::hash::Hash;
use crate::value::{KeptRef, LargeRef};

/// Expired fields of hashes that are removed under one lock.
const FIELDS_PER_LOCK: usize = 256;

impl Exec<'_> {
    /// Deletes the expired ones of about `count` keys of one slot, from a hash cursor on. Notes when the next of them
    /// will expire, adds to `visited`, and returns where to go on. The stripe is locked, the gate serving.
    pub(crate) fn expire_part(
        &mut self,
        slot: Slot,
        db: Db,
        cursor: u32,
        count: usize,
        visited: &mut u64,
    ) -> Option<u32> {
        let mut earliest = u64::MAX;
        let mut with_due_fields: Vec<Vec<u8>> = Vec::new();
        let before = self.slot_len(slot, db);
        let now_ms = self.now_ms;
        let next = self.scan_slot(slot, db, cursor, count, |entry| {
            *visited += 1;
            let fields = earliest_field(entry);
            if fields < now_ms {
                with_due_fields.push(entry.key().to_vec());
            }
            earliest = earliest.min(entry.expire_at_ms().unwrap_or(u64::MAX)).min(fields);
        });
        *visited += before - self.slot_len(slot, db);
        if !with_due_fields.is_empty() {
            // What they leave behind is found out when this comes again.
            earliest = 0;
        }
        let mut fields_left = FIELDS_PER_LOCK;
        for bytes in &with_due_fields {
            let hash = self.engine.hasher().hash(bytes);
            let removed = self.reap_fields(Key { bytes, hash, slot, db }, fields_left);
            *visited += removed as u64;
            fields_left = fields_left.saturating_sub(removed);
            if fields_left == 0 {
                break;
            }
        }
        // SAFETY: the stripe is locked.
        if let Some(directory) = unsafe { self.engine.stripe(stripe_of(slot)).directory(db) } {
            let noted = &mut directory.earliest_expiry_ms[slot.index() % STRIPE_SLOTS];
            *noted = earliest.min(if cursor == 0 { u64::MAX } else { *noted });
        }
        next
    }

    /// Removes about `max` expired fields of a hash, and the hash with its last one; returns how many there were. Those
    /// who follow are told `hdel`.
    fn reap_fields(&mut self, key: Key<'_>, max: usize) -> usize {
        let reaped = self.edit::<Hash, _>(key, Missing::Skip, |hash, tools| {
            let mut told = OwnedArgs::from_slices(&[b"hdel", key.bytes]);
            let removed = hash.remove_expired(max, tools, |field| told.push(field));
            Ok((removed, if removed == 0 { Change::None } else { Change::Effect(told) }))
        });
        let removed = reaped.ok().flatten().unwrap_or(0);
        if removed > 0 {
            self.notify_taken(Class::HASH, "hexpired", key);
        }
        removed
    }

    /// Evicts the key with this hash if it was not used since its clock was read. The stripe is locked.
    pub(crate) fn evict(&mut self, slot: Slot, db: Db, hash: u64, clock: u32) -> bool {
        let engine = self.engine;
        let Some(table) = self.table(slot, db) else { return false };
        let is_it = |raw| {
            // SAFETY: as in scan_slot.
            let entry = unsafe { EntryPtr::from_raw(raw) };
            entry.clock() == clock && engine.hasher().hash(entry.key()) == hash
        };
        let Some(position) = table.find(hash, is_it) else { return false };
        // SAFETY: as in scan_slot.
        let entry = unsafe { EntryPtr::from_raw(table.get(position)) };
        let bytes = entry.key().to_vec();
        let key = Key { bytes: &bytes, hash, slot, db };
        self.delete(key, position, entry);
        self.notify(Class::EVICTED, "evicted", key);
        true
    }

    /// Moves about `count` entries of one slot, from a hash cursor on, from sparse spans to fuller ones (and at its
    /// beginning the table's array). Adds to `moved_bytes` and returns where to go on. The stripe is locked.
    pub(crate) fn compact_part(
        &mut self,
        slot: Slot,
        db: Db,
        cursor: u32,
        count: usize,
        moved_bytes: &mut u64,
    ) -> Option<u32> {
        let engine = self.engine;
        let heap = engine.heap();
        let table = self.table(slot, db)?;
        // SAFETY: the array belongs to this heap, and its stripe is locked.
        if cursor == 0 && unsafe { table.defragment(heap) } {
            *moved_bytes += table.array_bytes() as u64;
        }
        let mut raws: Vec<NonNull<u8>> = Vec::new();
        let next = table.scan(ScanCursor::from_raw(cursor), count, hash_of(engine), |raw| raws.push(raw));
        for raw in raws {
            // SAFETY: live entries of a locked stripe, blocks of this heap with the size that their header says; a
            // boxed long value moves with its pointer.
            unsafe {
                let entry = EntryPtr::from_raw(raw);
                let bytes = entry.bytes();
                let Some(to) = heap.denser(raw, bytes) else { continue };
                to.copy_from_nonoverlapping(raw, bytes);
                let hash = engine.hasher().hash(entry.key());
                let Some(position) = table.find(hash, |other| other == raw) else {
                    heap.free_direct(to, bytes);
                    continue;
                };
                table.replace(position, to);
                heap.free_direct(raw, bytes);
                *moved_bytes += bytes as u64;
            }
        }
        next.map(ScanCursor::raw)
    }
}

/// No field of an entry's hash expires before this.
fn earliest_field(entry: Entry<'_>) -> u64 {
    match entry.content() {
        Content::Collection(KeptRef::Large(LargeRef::Hash(large))) => large.earliest_expiry().unwrap_or(u64::MAX),
        _ => u64::MAX,
    }
}
