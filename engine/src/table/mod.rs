//! One slot's hash table: open addressing in hash order, one tagged word per entry.
//!
//! An array of words, each 0 or an entry's address with 16 bits of its hash (the *tag*) on top. An entry's *home* is
//! a monotone function of its hash, entries stand in hash order at or after their homes, and no empty word lies
//! between an entry and its home. So a lookup is a short walk forward, a removal shifts what follows back by one, and
//! a scan is "go on in hash order", whatever happens to the array in between.
//!
//! *Narrow* tables (to 8192 words) order by the upper 16 bits of the hash, which are the tag: they grow and shrink
//! without reading an entry. *Wide* ones order by the upper 32 bits (the *rank*) and keep the low 16 as tag; what
//! moves entries there asks for their hashes.

mod layout;
mod rebuild;
mod scan;
#[cfg(test)]
mod tests;

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::heap::{self, Heap};
use layout::{Descriptor, Layout};

pub use scan::ScanCursor;

/// The entries of one database in one slot.
///
/// It holds addresses and never reads what they point to. It does not free its array when dropped (that takes an
/// allocator): [`clear`](Table::clear) it first.
#[repr(C)]
pub struct Table {
    /// The array's descriptor; atomic only for the sake of prefetching readers without the lock.
    word: AtomicU64,
    len: u32,
    /// Entries with an expiry time. Kept by the caller.
    pub volatile: u32,
    /// Accounted bytes of the entries. Kept by the caller.
    pub bytes: u64,
}

/// Where an entry is; valid until the table's next insertion or removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(u32);

/// Where tables get their arrays from.
pub trait ArrayAlloc {
    /// An uninitialised block of `bytes` bytes, 8-aligned. Does not return without one.
    fn alloc(&mut self, bytes: usize) -> NonNull<u8>;

    /// Takes a block back.
    ///
    /// # Safety
    /// `block` came from `alloc` of the same allocator with the same `bytes`, and is no longer used.
    unsafe fn free(&mut self, block: NonNull<u8>, bytes: usize);
}

impl Table {
    /// An empty table, without an array until the first insertion.
    pub const fn new() -> Table {
        Table { word: AtomicU64::new(0), len: 0, volatile: 0, bytes: 0 }
    }

    /// Number of entries.
    #[inline]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are no entries.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that the array takes from the heap, rounding included.
    pub fn array_bytes(&self) -> usize {
        let at = self.at();
        if at.is_empty() { 0 } else { heap::rounded(at.layout().words() * 8) }
    }

    /// The word that [`home_address`](Table::home_address) wants; 0 for a table without an array.
    #[inline]
    pub fn descriptor(&self) -> u64 {
        self.word.load(Relaxed)
    }

    /// Like [`descriptor`](Table::descriptor), for readers that do not hold the table's lock and so must not make a
    /// reference to it.
    ///
    /// # Safety
    /// `table` points to a table that is not being moved or dropped; it may be in use by another thread.
    #[inline]
    pub unsafe fn descriptor_of(table: *const Table) -> u64 {
        // SAFETY: the field is atomic and within the table that the caller vouches for.
        unsafe { (*table).word.load(Relaxed) }
    }

    /// The address of the word where an entry with this hash is at home: what to prefetch. Arithmetic only; the
    /// address may be stale and must not be read. An entry stands a few words later on average, so the following
    /// cache line is worth a prefetch too. None for a table without an array.
    #[inline]
    pub fn home_address(descriptor: u64, hash: u64) -> Option<*const u64> {
        let at = Descriptor(descriptor);
        (!at.is_empty()).then(|| at.array().cast_const().wrapping_add(at.layout().home(hash)))
    }

    /// The entry with this hash for which `eq` holds. `eq` is asked about entries with an equal tag, nearly always
    /// only the right one.
    #[inline]
    pub fn find(&self, hash: u64, mut eq: impl FnMut(NonNull<u8>) -> bool) -> Option<Position> {
        let words = self.words();
        let mut index = self.first_match(words, hash)?;
        let (wide, tag) = (self.at().layout().is_wide(), self.at().layout().tag(hash));
        while let Some(pointer) = pointer(*words.get(index)?) {
            if tag_of(words[index]) == tag {
                if eq(pointer) {
                    return Some(Position(index as u32));
                }
            } else if !wide {
                return None;
            }
            index += 1;
        }
        None
    }

    /// The first entry whose tag matches the hash: what to prefetch once the words are in the cache.
    #[inline]
    pub fn candidate(&self, hash: u64) -> Option<NonNull<u8>> {
        let words = self.words();
        pointer(words[self.first_match(words, hash)?])
    }

    /// The entry at a position.
    #[inline]
    pub fn get(&self, position: Position) -> NonNull<u8> {
        pointer(self.words()[position.0 as usize]).expect("a position holds an entry until the table changes")
    }

    /// Puts the new address of an entry that has moved (the same hash) into its place.
    #[inline]
    pub fn replace(&mut self, position: Position, entry: NonNull<u8>) {
        let word = &mut self.words_mut()[position.0 as usize];
        debug_assert_ne!(*word, 0, "a position holds an entry until the table changes");
        *word = tagged(tag_of(*word), entry);
    }

    /// Adds an entry that is not in the table yet; the table may grow. `hash_of` is asked about entries that must be
    /// moved, in large tables only; it must answer with the hash they were inserted with.
    pub fn insert(
        &mut self,
        alloc: &mut impl ArrayAlloc,
        hash: u64,
        entry: NonNull<u8>,
        hash_of: impl Fn(NonNull<u8>) -> u64,
    ) {
        let mut layout = match self.at() {
            at if at.is_empty() => Layout::for_len(1),
            at => at.layout(),
        };
        if self.at().is_empty() || self.len >= layout.len_max() {
            layout = Layout::for_len(self.len + 1);
            self.rebuild(alloc, layout, &hash_of);
        }
        while !self.try_insert(hash, entry, &hash_of) {
            // The last cluster reaches the end. In a well-filled table a larger one spreads it; in an empty one it
            // consists of like hashes, which only padding can take.
            let layout = self.at().layout();
            let well_filled = u64::from(self.len) * 4 >= u64::from(layout.base_words()) * 3;
            self.rebuild(alloc, if well_filled { layout.larger() } else { layout.padded() }, &hash_of);
        }
        self.len += 1;
    }

    /// Takes an entry out and returns it; the table may shrink. `hash_of` as for [`insert`](Table::insert), and never
    /// asked about the entry itself.
    pub fn remove(
        &mut self,
        alloc: &mut impl ArrayAlloc,
        position: Position,
        hash_of: impl Fn(NonNull<u8>) -> u64,
    ) -> NonNull<u8> {
        let entry = self.get(position);
        let layout = self.at().layout();
        let words = self.words_mut();
        let mut index = position.0 as usize;
        while let Some(next) = words.get(index + 1).copied()
            && next != 0
            && home_of(layout, next, &hash_of) <= index
        {
            words[index] = next;
            index += 1;
        }
        words[index] = 0;
        self.len -= 1;
        self.shrink(alloc, &hash_of);
        entry
    }

    /// Hands over every entry, in hash order, and frees the array. `volatile` and `bytes` stay as they are.
    pub fn clear(&mut self, alloc: &mut impl ArrayAlloc, each: impl FnMut(NonNull<u8>)) {
        self.iter().for_each(each);
        self.len = 0;
        self.set_array(alloc, Descriptor(0));
    }

    /// Moves the array to a fuller part of the heap if that helps memory to go back to the system; says whether it
    /// did. Tables that grow together leave their former sizes' spans sparse, so a slow round over all tables pays.
    ///
    /// # Safety
    /// The array came from this heap: all calls passed an `ArrayAlloc` over it.
    pub unsafe fn defragment(&mut self, heap: &Heap) -> bool {
        let at = self.at();
        let bytes = at.layout().words() * 8;
        let Some(from) = NonNull::new(at.array()) else { return false };
        // SAFETY: as the caller promises; the array has this size.
        let Some(to) = (unsafe { heap.denser(from.cast(), bytes) }) else { return false };
        // SAFETY: both blocks are that long, and distinct; the old one is not used afterwards.
        unsafe {
            to.copy_from_nonoverlapping(from.cast(), bytes);
            *self.word.get_mut() = Descriptor::new(to.cast(), at.layout()).0;
            heap.free_direct(from.cast(), bytes);
        }
        true
    }

    /// All entries in hash order.
    pub fn iter(&self) -> impl Iterator<Item = NonNull<u8>> {
        self.words().iter().filter_map(|word| pointer(*word))
    }

    fn at(&self) -> Descriptor {
        Descriptor(self.descriptor())
    }

    #[inline]
    fn words(&self) -> &[u64] {
        let at = self.at();
        if at.is_empty() {
            return &[];
        }
        // SAFETY: the descriptor describes an array of initialised words that belongs to this table alone.
        unsafe { std::slice::from_raw_parts(at.array(), at.layout().words()) }
    }

    #[inline]
    fn words_mut(&mut self) -> &mut [u64] {
        let at = Descriptor(*self.word.get_mut());
        if at.is_empty() {
            return &mut [];
        }
        // SAFETY: as in `words`; the table is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(at.array(), at.layout().words()) }
    }

    /// Index of the first word with this hash's tag that may belong to its entry.
    #[inline]
    fn first_match(&self, words: &[u64], hash: u64) -> Option<usize> {
        let layout = self.at().layout();
        let tag = layout.tag(hash);
        let start = layout.home(hash);
        let index = if layout.is_wide() {
            start + words.get(start..)?.iter().position(|word| tag_of(*word) == tag || *word == 0)?
        } else {
            skip_smaller(words, start, tag)
        };
        let word = *words.get(index)?;
        (word != 0 && tag_of(word) == tag).then_some(index)
    }

    /// Inserts if there is room between the place and the array's end.
    fn try_insert(&mut self, hash: u64, entry: NonNull<u8>, hash_of: &impl Fn(NonNull<u8>) -> u64) -> bool {
        let layout = self.at().layout();
        let order = order_of_hash(layout, hash);
        let words = self.words_mut();
        let mut place = layout.home(hash);
        while let Some(&word) = words.get(place)
            && word != 0
            && order_of(layout, word, hash_of) <= order
        {
            place += 1;
        }
        let Some(run) = words.get(place..).and_then(|tail| tail.iter().position(|word| *word == 0)) else {
            return false;
        };
        words.copy_within(place..place + run, place + 1);
        words[place] = tagged(layout.tag(hash), entry);
        true
    }
}

impl Default for Table {
    fn default() -> Table {
        Table::new()
    }
}

/// What entries are ordered by: in a wide table the upper 32 bits of the hash, in a narrow one the upper 16 of those.
#[inline]
fn order_of_hash(layout: Layout, hash: u64) -> u32 {
    if layout.is_wide() { (hash >> 32) as u32 } else { u32::from((hash >> 48) as u16) << 16 }
}

/// `order_of_hash` for the entry of a word, which is read in wide tables only.
#[inline]
fn order_of(layout: Layout, word: u64, hash_of: &impl Fn(NonNull<u8>) -> u64) -> u32 {
    match pointer(word) {
        Some(entry) if layout.is_wide() => (hash_of(entry) >> 32) as u32,
        _ => u32::from(tag_of(word)) << 16,
    }
}

#[inline]
fn home_of(layout: Layout, word: u64, hash_of: &impl Fn(NonNull<u8>) -> u64) -> usize {
    let order = order_of(layout, word, hash_of);
    if layout.is_wide() { layout.home_of_rank(order) } else { layout.home_of_tag((order >> 16) as u16) }
}

/// From `start` on, the first index of a narrow table's array with an empty word or a tag not below this one. What
/// comes after it is not below either, so four words can be counted at once instead of guessing a branch for each.
#[inline]
fn skip_smaller(words: &[u64], start: usize, tag: u16) -> usize {
    // An empty word, less one, has the largest tag of all.
    let is_smaller = |word: &u64| word.wrapping_sub(1) >> 48 < u64::from(tag);
    let mut index = start;
    while let Some(four) = words.get(index..).and_then(|tail| tail.first_chunk::<4>()) {
        let smaller = four.iter().map(|word| usize::from(is_smaller(word))).sum::<usize>();
        index += smaller;
        if smaller < 4 {
            return index;
        }
    }
    index + words.get(index..).unwrap_or_default().iter().take_while(|word| is_smaller(word)).count()
}

#[inline]
fn tagged(tag: u16, entry: NonNull<u8>) -> u64 {
    let address = entry.as_ptr().expose_provenance() as u64;
    debug_assert_eq!(address >> 48, 0, "user-space addresses have 48 bits");
    u64::from(tag) << 48 | address
}

#[inline]
fn tag_of(word: u64) -> u16 {
    (word >> 48) as u16
}

/// The entry's address, or None for an empty word.
#[inline]
fn pointer(word: u64) -> Option<NonNull<u8>> {
    NonNull::new(std::ptr::with_exposed_provenance_mut((word & ((1 << 48) - 1)) as usize))
}
