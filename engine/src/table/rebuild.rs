//! Growing, shrinking and changing between narrow and wide: entries are laid out anew in another array.

use std::ptr::NonNull;

use super::layout::{Descriptor, Layout};
use super::{ArrayAlloc, Table, pointer, tag_of, tagged};

/// How many entries ahead of the one being hashed are prefetched.
const PREFETCH_AHEAD: usize = 8;

/// A table with fewer entries than 3/10 of its words shrinks, to a size that they fill to 8/10 of its limit.
const SHRINK_TENTHS: u64 = 3;
const REFILL_TENTHS: u64 = 8;

/// Extra padding of more than so many words per entry is given up.
const EXTRA_WORDS_PER_ENTRY_MAX: usize = 8;

impl Table {
    /// Moves all entries to an array of this layout, or one with more padding if they need it.
    pub(super) fn rebuild(
        &mut self,
        alloc: &mut impl ArrayAlloc,
        mut layout: Layout,
        hash_of: &impl Fn(NonNull<u8>) -> u64,
    ) {
        let sorted = self.sorted_for(layout, hash_of);
        let from = sorted.as_deref().unwrap_or(self.words());
        let old = self.at().layout();
        let array = loop {
            let array = allocate(alloc, layout);
            // SAFETY: allocated and zeroed just now, with so many words; nobody else knows it.
            let to = unsafe { std::slice::from_raw_parts_mut(array.as_ptr(), layout.words()) };
            if place_all(from, old, to, layout, hash_of) {
                break array;
            }
            // SAFETY: as above; `to` is not used any more.
            unsafe { alloc.free(array.cast(), layout.words() * 8) };
            layout = layout.padded();
        };
        self.set_array(alloc, Descriptor::new(array, layout));
    }

    /// Moves to a smaller array, or to none, if there are few entries left.
    pub(super) fn shrink(&mut self, alloc: &mut impl ArrayAlloc, hash_of: &impl Fn(NonNull<u8>) -> u64) {
        if self.len == 0 {
            return self.set_array(alloc, Descriptor(0));
        }
        let layout = self.at().layout();
        let target = Layout::for_len((u64::from(self.len) * 10).div_ceil(REFILL_TENTHS) as u32);
        let sparse = u64::from(self.len) * 10 < u64::from(layout.base_words()) * SHRINK_TENTHS;
        let padded = layout.extra_words() > EXTRA_WORDS_PER_ENTRY_MAX * self.len as usize;
        if (sparse && target.base_words() < layout.base_words()) || padded {
            self.rebuild(alloc, target, hash_of);
        }
    }

    /// Makes the array at `next` the table's own and frees the old one.
    pub(super) fn set_array(&mut self, alloc: &mut impl ArrayAlloc, next: Descriptor) {
        let old = Descriptor(std::mem::replace(self.word.get_mut(), next.0));
        if let Some(array) = NonNull::new(old.array()) {
            // SAFETY: allocated by `rebuild` with that size; its entries are elsewhere by now.
            unsafe { alloc.free(array.cast(), old.layout().words() * 8) };
        }
    }

    /// On the way from narrow to wide: the words in full order, which their tags alone do not give.
    fn sorted_for(&self, layout: Layout, hash_of: &impl Fn(NonNull<u8>) -> u64) -> Option<Vec<u64>> {
        if self.len == 0 || self.at().layout().is_wide() || !layout.is_wide() {
            return None;
        }
        let words: Vec<u64> = self.words().iter().copied().filter(|word| *word != 0).collect();
        let mut keyed = Vec::with_capacity(words.len());
        each_hash(&words, hash_of, |word, hash| {
            keyed.push(((hash >> 32) as u32, word));
            true
        });
        keyed.sort_by_key(|(rank, _)| *rank);
        Some(keyed.into_iter().map(|(_, word)| word).collect())
    }
}

/// Lays the entries of `from` out in `to`; false if they run off its end.
fn place_all(from: &[u64], old: Layout, to: &mut [u64], layout: Layout, hash_of: &impl Fn(NonNull<u8>) -> u64) -> bool {
    let mut end = 0;
    let mut place = |home: usize, word: u64| {
        let index = home.max(end);
        end = index + 1;
        to.get_mut(index).map(|slot| *slot = word).is_some()
    };
    if old.is_wide() || layout.is_wide() {
        return each_hash(from, hash_of, |word, hash| match pointer(word) {
            Some(entry) => place(layout.home(hash), tagged(layout.tag(hash), entry)),
            None => true,
        });
    }
    from.iter().filter(|word| **word != 0).all(|word| place(layout.home_of_tag(tag_of(*word)), *word))
}

/// Calls `each` with every word that holds an entry and with the entry's hash, until it answers false. The entries
/// are scattered over memory, so those to come are fetched ahead.
fn each_hash(words: &[u64], hash_of: &impl Fn(NonNull<u8>) -> u64, mut each: impl FnMut(u64, u64) -> bool) -> bool {
    for (index, word) in words.iter().enumerate() {
        if let Some(entry) = words.get(index + PREFETCH_AHEAD).and_then(|word| pointer(*word)) {
            prefetch(entry);
        }
        if let Some(entry) = pointer(*word)
            && !each(*word, hash_of(entry))
        {
            return false;
        }
    }
    true
}

fn allocate(alloc: &mut impl ArrayAlloc, layout: Layout) -> NonNull<u64> {
    let array = alloc.alloc(layout.words() * 8).cast::<u64>();
    // SAFETY: the block has room for that many words and is 8-aligned; zero is an empty word.
    unsafe { array.write_bytes(0, layout.words()) };
    array
}

/// Asks the processor to load a cache line; a hint, without effect on other architectures.
#[inline]
fn prefetch(entry: NonNull<u8>) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults, and SSE is part of the architecture.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(entry.as_ptr().cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = entry;
}
