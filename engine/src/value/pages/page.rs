//! One page: slots sorted by hash from its beginning, the elements they name from its end towards them.
//!
//! ```text
//! header     count u32 | bytes used by elements u32 | of those, bytes of holes u32
//! slots      u32 each: distance from the page's end u16 | tag u16, the 16 bits of the hash after the page's prefix
//! free space
//! elements
//! ```
//!
//! A page is full at 4 KiB and then split by the next bit of the hash. Where splitting does not help (see
//! [`super::PageMap`]) it grows on; above 64 KiB its slots are wide: tag u32, distance u32.

use std::sync::Arc;

use super::element::{Item, u32_at};
use super::outside::COUNTS_BYTES;
use crate::value::rounded;

/// Bytes of the smallest page and of a full one, as allocated with its reference counts.
const ALLOCATED_MIN: usize = 256;
const ALLOCATED_FULL: usize = 4096;
/// Bytes of a full page.
pub(super) const FULL_BYTES: usize = ALLOCATED_FULL - COUNTS_BYTES;
const SLOT_BYTES: usize = 4;
const WIDE_SLOT_BYTES: usize = 8;
const HEADER_BYTES: usize = 12;

static ZEROES: [u8; FULL_BYTES] = [0; FULL_BYTES];

const COUNT_AT: usize = 0;
const USED_AT: usize = 4;
const HOLES_AT: usize = 8;
/// Larger pages have wide slots.
const NARROW_BYTES_MAX: usize = 1 << 16;
/// More slots than this are searched by halving, as a broken hash would make a guess by the tag useless.
const GUESS_SLOTS_MAX: usize = 1024;

/// A page and what the map knows of it without following the pointer.
#[derive(Clone, Debug)]
pub(super) struct Page {
    bytes: Arc<[u8]>,
    /// No element expires before this; unix milliseconds.
    pub(super) earliest_ms: u64,
    /// The bits that the hashes of its elements begin with.
    pub(super) prefix: u32,
    /// How many those are.
    pub(super) depth: u8,
}

impl Page {
    /// An empty page with room for so many elements of `payload` bytes together.
    pub(super) fn with_room(count: usize, payload: usize, prefix: u32, depth: u8) -> Page {
        let mut capacity = capacity_for(HEADER_BYTES + SLOT_BYTES * count + payload);
        if capacity > NARROW_BYTES_MAX {
            capacity = capacity_for(HEADER_BYTES + WIDE_SLOT_BYTES * count + payload);
        }
        let bytes = ZEROES.get(..capacity).map_or_else(|| vec![0; capacity].into(), Arc::from);
        Page { bytes, earliest_ms: u64::MAX, prefix, depth }
    }

    /// Number of elements.
    #[inline]
    pub(super) fn count(&self) -> usize {
        u32_at(&self.bytes, COUNT_AT) as usize
    }

    /// Bytes it can hold.
    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it is as small as pages get.
    pub(super) fn is_smallest(&self) -> bool {
        self.capacity() <= ALLOCATED_MIN - COUNTS_BYTES
    }

    /// Accounted heap bytes.
    #[inline]
    pub(super) fn heap_bytes(&self) -> usize {
        self.capacity() + COUNTS_BYTES
    }

    /// Whether an element of `size` bytes and its slot fit as it is.
    #[inline]
    pub(super) fn has_room(&self, size: usize) -> bool {
        self.capacity() - self.used() >= self.slots_end(self.count() + 1) + size
    }

    /// Bytes of its elements without holes.
    #[inline]
    pub(super) fn payload(&self) -> usize {
        self.used() - self.holes()
    }

    /// Bytes that a page without holes needs for the same elements.
    #[inline]
    pub(super) fn live(&self) -> usize {
        self.slots_end(self.count()) + self.payload()
    }

    /// The tag of a hash that begins with the page's prefix.
    #[inline]
    pub(super) fn tag_of(&self, hash: u64) -> u16 {
        (hash << self.depth >> 48) as u16
    }

    /// The tag in slot `at`.
    #[inline]
    pub(super) fn tag(&self, at: usize) -> u16 {
        self.slot(at).0
    }

    /// The element of slot `at`.
    #[inline]
    pub(super) fn item(&self, at: usize) -> Item<'_> {
        Item::read(&self.bytes[self.capacity() - self.slot(at).1..])
    }

    /// The elements with their tags, in hash order.
    pub(super) fn items(&self) -> impl Iterator<Item = (u16, Item<'_>)> {
        (0..self.count()).map(|at| (self.tag(at), self.item(at)))
    }

    /// The first slot whose tag is not below `wanted`. Hashes are uniform, so the tag says about where that is.
    #[inline]
    pub(super) fn lower_bound(&self, wanted: u16) -> usize {
        let slots = self.narrow_slots();
        if slots.len() > GUESS_SLOTS_MAX || self.is_wide() {
            return self.lower_bound_by_halving(wanted);
        }
        let mut at = guess(slots.len(), wanted);
        while slots.get(at).is_some_and(|slot| narrow_tag(slot) < wanted) {
            at += 1;
        }
        while at > 0 && narrow_tag(&slots[at - 1]) >= wanted {
            at -= 1;
        }
        at
    }

    /// The slot with this tag whose element `is_it`.
    #[inline]
    pub(super) fn find(&self, wanted: u16, is_it: impl Fn(Item<'_>) -> bool) -> Option<usize> {
        let count = self.count();
        let mut at = self.lower_bound(wanted);
        while at < count && self.tag(at) == wanted {
            if is_it(self.item(at)) {
                return Some(at);
            }
            at += 1;
        }
        None
    }

    /// Adds an element where there is room for it and its slot.
    #[inline]
    pub(super) fn insert(&mut self, tag: u16, item: Item<'_>) {
        self.insert_at(self.lower_bound(tag), tag, item);
    }

    /// Writes an element in the place of that in slot `at`, if it is not longer.
    #[inline]
    pub(super) fn overwrite(&mut self, at: usize, item: Item<'_>) -> bool {
        let (before, now) = (self.item(at).size(), item.size());
        if now > before {
            return false;
        }
        let place = self.capacity() - self.slot(at).1;
        let holes = self.holes() + before - now;
        self.note_expiry(item);
        let bytes = Arc::make_mut(&mut self.bytes);
        item.write(&mut bytes[place..]);
        put(bytes, HOLES_AT, holes);
        true
    }

    /// Takes the element of slot `at` out.
    #[inline]
    pub(super) fn remove(&mut self, at: usize) {
        let (size, count) = (self.item(at).size(), self.count());
        let (used, holes) = (self.used(), self.holes());
        let is_last = self.slot(at).1 == used;
        let slots = self.slots_end(at)..self.slots_end(count);
        let after = self.slots_end(at + 1);
        let bytes = Arc::make_mut(&mut self.bytes);
        bytes.copy_within(after..slots.end, slots.start);
        put(bytes, COUNT_AT, count - 1);
        if is_last {
            put(bytes, USED_AT, used - size);
        } else {
            put(bytes, HOLES_AT, holes + size);
        }
    }

    /// The same elements without holes, in a page with room for one more of `extra` bytes.
    pub(super) fn rebuilt(&self, extra: usize) -> Page {
        let mut page = Page::with_room(self.count() + 1, self.payload() + extra, self.prefix, self.depth);
        if self.holes() == 0 && page.is_wide() == self.is_wide() {
            page.copy_whole(self);
        } else {
            self.items().for_each(|(tag, item)| page.push(tag, item));
        }
        page.earliest_ms = self.earliest_ms;
        page
    }

    /// Adds an element whose tag is about the highest yet.
    pub(super) fn push(&mut self, tag: u16, item: Item<'_>) {
        let mut at = self.count();
        while at > 0 && self.tag(at - 1) > tag {
            at -= 1;
        }
        self.insert_at(at, tag, item);
    }

    #[inline]
    fn insert_at(&mut self, at: usize, tag: u16, item: Item<'_>) {
        let count = self.count();
        let used = self.used() + item.size();
        let place = self.capacity() - used;
        let slots = self.slots_end(at)..self.slots_end(count);
        let after = self.slots_end(at + 1);
        let is_wide = self.is_wide();
        self.note_expiry(item);
        let bytes = Arc::make_mut(&mut self.bytes);
        item.write(&mut bytes[place..]);
        bytes.copy_within(slots.clone(), after);
        if is_wide {
            put(bytes, slots.start, used);
            put(bytes, slots.start + 4, usize::from(tag));
        } else {
            put(bytes, slots.start, usize::from(tag) << 16 | used);
        }
        put(bytes, COUNT_AT, count + 1);
        put(bytes, USED_AT, used);
    }

    /// Bytes that elements and holes use.
    #[inline]
    fn used(&self) -> usize {
        u32_at(&self.bytes, USED_AT) as usize
    }

    /// Bytes that removed elements have left.
    #[inline]
    pub(super) fn holes(&self) -> usize {
        u32_at(&self.bytes, HOLES_AT) as usize
    }

    #[inline]
    fn is_wide(&self) -> bool {
        self.capacity() > NARROW_BYTES_MAX
    }

    /// Where `count` slots end.
    #[inline]
    fn slots_end(&self, count: usize) -> usize {
        HEADER_BYTES + count * if self.is_wide() { WIDE_SLOT_BYTES } else { SLOT_BYTES }
    }

    /// Tag, and the element's distance from the end, of slot `at`.
    #[inline]
    fn slot(&self, at: usize) -> (u16, usize) {
        if self.is_wide() {
            let slot = HEADER_BYTES + at * WIDE_SLOT_BYTES;
            return (u32_at(&self.bytes, slot + 4) as u16, u32_at(&self.bytes, slot) as usize);
        }
        let slot = u32_at(&self.bytes, HEADER_BYTES + at * SLOT_BYTES);
        ((slot >> 16) as u16, usize::from(slot as u16))
    }

    #[inline]
    fn narrow_slots(&self) -> &[[u8; SLOT_BYTES]] {
        self.bytes[HEADER_BYTES..HEADER_BYTES + SLOT_BYTES * self.count()].as_chunks().0
    }

    #[cold]
    fn lower_bound_by_halving(&self, wanted: u16) -> usize {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low.midpoint(high);
            if self.tag(middle) < wanted { low = middle + 1 } else { high = middle }
        }
        low
    }

    #[inline]
    fn note_expiry(&mut self, item: Item<'_>) {
        if let Item::Inline { expire_at_ms: Some(at), .. } = item {
            self.earliest_ms = self.earliest_ms.min(at);
        }
    }

    /// Takes over slots and elements of a page without holes: distances from the end stay what they were.
    fn copy_whole(&mut self, from: &Page) {
        let slots_end = from.slots_end(from.count());
        let elements = from.capacity() - from.used()..;
        let place = self.capacity() - from.used();
        let bytes = Arc::make_mut(&mut self.bytes);
        bytes[..slots_end].copy_from_slice(&from.bytes[..slots_end]);
        bytes[place..].copy_from_slice(&from.bytes[elements]);
    }
}

/// The bytes a page really has that needs so many.
fn capacity_for(needed: usize) -> usize {
    rounded((COUNTS_BYTES + needed).max(ALLOCATED_MIN)) - COUNTS_BYTES
}

/// About where a tag stands among so many.
#[inline]
fn guess(slots: usize, tag: u16) -> usize {
    (usize::from(tag) * slots) >> 16
}

#[inline]
fn narrow_tag(slot: &[u8; SLOT_BYTES]) -> u16 {
    u16::from_le_bytes([slot[2], slot[3]])
}

#[inline]
fn put(bytes: &mut [u8], at: usize, number: usize) {
    bytes[at..at + 4].copy_from_slice(&(number as u32).to_le_bytes());
}
