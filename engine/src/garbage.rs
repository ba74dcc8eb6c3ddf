//! Entries that no table names any more, freed a slice at a time and under no lock.

use std::ptr::NonNull;

use crate::engine::{Arrays, Engine, Local};
use crate::entry::{EntryPtr, Outside};
use crate::table::Table;
use crate::value::LargeBox;

/// Large values of no more elements are freed at once; about 100 µs.
pub(crate) const ELEMENTS_AT_ONCE: usize = 2_048;
/// Elements of a large value that are freed for one of an entry's.
const ELEMENTS_PER_ENTRY: u64 = 4;

/// What one worker has yet to free.
#[derive(Default)]
pub(crate) struct Garbage {
    tables: Vec<Table>,
    entries: Vec<NonNull<u8>>,
    large: Vec<LargeBox>,
}

// SAFETY: nobody else knows these tables and entries; they may move to another thread with their worker's state.
unsafe impl Send for Garbage {}

impl Garbage {
    /// Takes a whole table that nobody can reach any more.
    pub fn push(&mut self, table: Table) {
        if !table.is_empty() || table.array_bytes() > 0 {
            self.tables.push(table);
        }
    }

    /// Takes what an entry pointed to and nobody reaches any more.
    pub fn discard(&mut self, outside: Outside) {
        match outside {
            Outside::Large(large) if large.as_ref().elements() > ELEMENTS_AT_ONCE => self.large.push(large),
            outside => drop(outside),
        }
    }

    fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.entries.is_empty() && self.large.is_empty()
    }
}

impl Engine {
    /// Frees up to about `entries_max` entries of a worker's garbage, and of what long replies have left behind; says whether there is more.
    pub fn free_garbage(&self, local: &mut Local, entries_max: u64) -> bool {
        // Whoever was made ready outside of a command is served here too, and who has gone is forgotten.
        self.serve_rest(local);
        local.garbage.large.append(&mut self.leftovers().take());
        let mut left = entries_max;
        while left > 0 {
            if let Some(mut large) = local.garbage.large.pop() {
                let elements = ELEMENTS_AT_ONCE as u64;
                if large.free_some(elements as usize) {
                    local.garbage.large.push(large);
                }
                left = left.saturating_sub(elements / ELEMENTS_PER_ENTRY);
                continue;
            }
            let Some(raw) = local.garbage.entries.pop() else {
                let Some(mut table) = local.garbage.tables.pop() else { return false };
                let array_bytes = table.array_bytes() as i64;
                let entries = &mut local.garbage.entries;
                let mut arrays = Arrays { heap: self.heap(), local: &mut local.heap };
                table.clear(&mut arrays, |raw| entries.push(raw));
                self.account(local, -array_bytes);
                continue;
            };
            // SAFETY: the entry left its table with the garbage, and is popped once.
            unsafe {
                let entry = EntryPtr::from_raw(raw);
                let (bytes, held) = (entry.bytes(), entry.heap_bytes());
                if let Some(outside) = entry.take_outside() {
                    local.garbage.discard(outside);
                }
                local.heap.free(self.heap(), raw, bytes);
                self.account(local, -(held as i64));
            }
            left -= 1;
        }
        !local.garbage.is_empty()
    }
}
