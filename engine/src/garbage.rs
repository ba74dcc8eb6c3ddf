//! Entries that no table names any more, freed a slice at a time and under no lock.

use std::ptr::NonNull;

use crate::engine::{Arrays, Engine, Local};
use crate::entry::EntryPtr;
use crate::table::Table;

/// What one worker has yet to free.
#[derive(Default)]
pub(crate) struct Garbage {
    tables: Vec<Table>,
    entries: Vec<NonNull<u8>>,
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
}

impl Engine {
    /// Frees up to about `entries_max` entries of a worker's garbage; says whether there is more.
    pub fn free_garbage(&self, local: &mut Local, entries_max: u64) -> bool {
        let mut left = entries_max;
        while left > 0 {
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
                drop(entry.take_segments());
                local.heap.free(self.heap(), raw, bytes);
                self.account(local, -(held as i64));
            }
            left -= 1;
        }
        !(local.garbage.entries.is_empty() && local.garbage.tables.is_empty())
    }
}
