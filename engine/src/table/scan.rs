//! Walks over a table: SCAN in hash order, samples and random picks.

use std::ptr::NonNull;

use super::{Table, order_of, order_of_hash, pointer};

/// Words tried for a random entry before walking on to the next one.
const RANDOM_TRIES_MAX: u32 = 24;

/// How far a scan has come in hash order: the upper 32 bits of the first hash not yet visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScanCursor(u32);

impl ScanCursor {
    /// Where every scan begins.
    pub const START: ScanCursor = ScanCursor(0);

    /// A cursor from what `raw` gave, or from any other number: a scan from there on.
    pub const fn from_raw(bits: u32) -> ScanCursor {
        ScanCursor(bits)
    }

    /// The cursor as a number, to be handed to a client.
    pub const fn raw(self) -> u32 {
        self.0
    }
}

impl Table {
    /// Visits at least `count` entries (if there are so many, and at least one) from the cursor on, in hash order;
    /// more only where entries share the cursor's value. Returns where to go on, or None after the last entry.
    ///
    /// Over all calls from START to None, each entry that is present throughout is visited at least once, however the
    /// table grows and shrinks between the calls. `hash_of` is asked in large tables only.
    pub fn scan(
        &self,
        cursor: ScanCursor,
        count: usize,
        hash_of: impl Fn(NonNull<u8>) -> u64,
        mut each: impl FnMut(NonNull<u8>),
    ) -> Option<ScanCursor> {
        let layout = self.at().layout();
        let hash = u64::from(cursor.0) << 32;
        // A wide table's cursor may lie inside a tag: a narrow table then visits that tag's entries again.
        let from = order_of_hash(layout, hash);
        let words = self.words().get(layout.home(hash)..)?;
        let (mut visited, mut last) = (0, from);
        for word in words {
            let Some(entry) = pointer(*word) else { continue };
            let order = order_of(layout, *word, &hash_of);
            if order < from {
                continue;
            }
            if visited >= count.max(1) && order != last {
                return Some(ScanCursor(order));
            }
            each(entry);
            visited += 1;
            last = order;
        }
        None
    }

    /// Hands over up to `n` entries that stand at or after a random place, going round the end. `at` is any number;
    /// as it runs over all, every entry is reached.
    pub fn sample(&self, at: u32, n: usize, mut each: impl FnMut(NonNull<u8>)) {
        let words = self.words();
        let (before, after) = words.split_at(index_at(words, at));
        after.iter().chain(before).filter_map(|word| pointer(*word)).take(n).for_each(&mut each);
    }

    /// An entry picked by the random number `r`, all about equally likely. None if the table is empty.
    pub fn random(&self, r: u64) -> Option<NonNull<u8>> {
        let words = self.words();
        let mut random = r;
        for _ in 0..RANDOM_TRIES_MAX {
            if let Some(entry) = pointer(*words.get(index_at(words, (random >> 32) as u32))?) {
                return Some(entry);
            }
            random = random.wrapping_mul(0xd129_42f5_1a6b_96ad).wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
        let mut found = None;
        self.sample((random >> 32) as u32, 1, |entry| found = Some(entry));
        found
    }
}

/// Maps a 32-bit number onto the array.
fn index_at(words: &[u64], at: u32) -> usize {
    ((u64::from(at) * words.len() as u64) >> 32) as usize
}
