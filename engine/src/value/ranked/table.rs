//! From a member's fingerprint to the leaf page that holds it: pages of (32-bit fingerprint, leaf), sorted.
//!
//! Linear hashing: there are 2^level + split pages. A page covers one interval of fingerprints, and growing by one page
//! cuts one interval in two, so nothing is ever rehashed at once. The page of the interval whose upper bits are `p` has
//! the bits of `p` in reverse as its number: that is how a cut leaves all other pages where they are.

use std::sync::Arc;

use super::leaf::ARC_BYTES;
use crate::value::blocks::Blocks;
use crate::value::rounded;

/// Cells per page on average; pages have between about half and twice as many.
const CELLS_MEAN: usize = 96;

/// The table. Cells with the same fingerprint stand in any order.
#[derive(Clone, Default)]
pub(super) struct Table {
    pages: Blocks<Page>,
    /// How many upper bits of a fingerprint choose a page that has not been cut at this level.
    level: u32,
    len: usize,
    bytes: usize,
}

/// One page: sorted cells, the fingerprint above the leaf. A clone shares the block; whoever writes first copies it.
#[derive(Clone, Default)]
struct Page {
    cells: Arc<[u64]>,
    len: u32,
}

impl Table {
    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes + self.pages.heap_bytes()
    }

    /// The leaves that may hold a member with this fingerprint.
    #[inline]
    pub(super) fn find(&self, fingerprint: u32) -> impl Iterator<Item = u32> {
        let (number, bits) = self.home(fingerprint);
        let cells = self.pages.get(number).map_or(&[][..], Page::cells);
        let from = lower_bound(cells, fingerprint, bits);
        cells[from..].iter().take_while(move |&&cell| fingerprint_of(cell) == fingerprint).map(|&cell| cell as u32)
    }

    /// One more member.
    pub(super) fn insert(&mut self, fingerprint: u32, leaf: u32) {
        if self.pages.is_empty() {
            self.pages.push(Page::default());
        }
        let (number, bits) = self.home(fingerprint);
        let page = &mut self.pages[number];
        let before = page.heap_bytes();
        page.insert(lower_bound(page.cells(), fingerprint, bits), cell_of(fingerprint, leaf));
        self.bytes += page.heap_bytes() - before;
        self.len += 1;
        if self.len > self.pages.len() * CELLS_MEAN {
            self.grow();
        }
    }

    /// One member less.
    pub(super) fn remove(&mut self, fingerprint: u32, leaf: u32) {
        let (number, bits) = self.home(fingerprint);
        let Some(page) = self.pages.get_mut(number) else { return };
        let Some(at) = page.position(fingerprint, leaf, bits) else { return };
        let before = page.heap_bytes();
        page.remove(at);
        self.bytes = self.bytes + page.heap_bytes() - before;
        self.len -= 1;
        if self.pages.len() > 1 && self.len < self.pages.len() * (CELLS_MEAN / 2) {
            self.shrink();
        }
    }

    /// A member has moved from one leaf to another.
    #[inline]
    pub(super) fn replace(&mut self, fingerprint: u32, from: u32, to: u32) {
        let (number, bits) = self.home(fingerprint);
        let Some(page) = self.pages.get_mut(number) else { return };
        if let Some(at) = page.position(fingerprint, from, bits) {
            Arc::make_mut(&mut page.cells)[at] = cell_of(fingerprint, to);
        }
    }

    /// The first cells at or after a fingerprint, up to the end of its page, and where the next page begins (nothing:
    /// that was the last).
    pub(super) fn page_from(&self, fingerprint: u32) -> (impl Iterator<Item = (u32, u32)>, Option<u32>) {
        let (number, bits) = self.home(fingerprint);
        let cells = self.pages.get(number).map_or(&[][..], Page::cells);
        let from = lower_bound(cells, fingerprint, bits);
        let last = fingerprint | u32::MAX.checked_shr(bits).unwrap_or(0);
        (cells[from..].iter().map(|&cell| (fingerprint_of(cell), cell as u32)), last.checked_add(1))
    }

    /// Frees some pages; true while there are more. The table is of no use afterwards.
    pub(super) fn free_some(&mut self, elements: usize) -> bool {
        let keep = self.pages.len().saturating_sub(elements / CELLS_MEAN + 1);
        self.pages.truncate(keep);
        keep > 0
    }

    /// All cells; panics if anything about the table is not as it should be.
    #[cfg(test)]
    pub(super) fn audit(&self) -> Vec<(u32, u32)> {
        let bytes: usize = self.pages.iter().map(Page::heap_bytes).sum();
        assert_eq!(bytes, self.bytes);
        assert_eq!(self.pages.iter().map(|page| page.cells().len()).sum::<usize>(), self.len);
        for (number, page) in self.pages.iter().enumerate() {
            assert!(page.cells().is_sorted_by_key(|&cell| fingerprint_of(cell)));
            assert!(page.cells().iter().all(|&cell| self.home(fingerprint_of(cell)).0 == number));
        }
        let cells = self.pages.iter().flat_map(|page| page.cells());
        cells.map(|&cell| (fingerprint_of(cell), cell as u32)).collect()
    }

    /// Cuts the next interval in two.
    fn grow(&mut self) {
        let split = self.pages.len() - (1 << self.level);
        let bit = self.level;
        let page = &mut self.pages[split];
        self.bytes -= page.heap_bytes();
        let at = page.cells().partition_point(|&cell| fingerprint_of(cell) & (1 << 31 >> bit) == 0);
        let (left, right) = (Page::of(&page.cells()[..at]), Page::of(&page.cells()[at..]));
        self.bytes += left.heap_bytes() + right.heap_bytes();
        *page = left;
        self.pages.push(right);
        if self.pages.len() == 2 << self.level {
            self.level += 1;
        }
    }

    /// Joins the last page and the one it was cut from.
    fn shrink(&mut self) {
        let Some(right) = self.pages.pop() else { return };
        if self.pages.len() < 1 << self.level {
            self.level -= 1;
        }
        let number = self.pages.len() - (1 << self.level);
        let left = &mut self.pages[number];
        let both: Vec<u64> = left.cells().iter().chain(right.cells()).copied().collect();
        let both = Page::of(&both);
        self.bytes = self.bytes + both.heap_bytes() - left.heap_bytes() - right.heap_bytes();
        *left = both;
    }

    /// The page of a fingerprint, and how many upper bits the fingerprints in it have in common.
    #[inline]
    fn home(&self, fingerprint: u32) -> (usize, u32) {
        let reversed = fingerprint.reverse_bits() as usize;
        let low = reversed & ((1 << self.level) - 1);
        // Whether the page has been cut at this level.
        let is_cut = low + (1 << self.level) < self.pages.len();
        if is_cut { (reversed & ((2 << self.level) - 1), self.level + 1) } else { (low, self.level) }
    }
}

impl Page {
    /// A page with these cells and no more room than the allocator gives.
    fn of(cells: &[u64]) -> Page {
        Page::with_room(cells, cells.len())
    }

    fn with_room(cells: &[u64], want: usize) -> Page {
        let room = (rounded(want * 8 + ARC_BYTES) - ARC_BYTES) / 8;
        let padding = std::iter::repeat_n(0, room - cells.len());
        Page { cells: cells.iter().copied().chain(padding).collect(), len: cells.len() as u32 }
    }

    #[inline]
    fn cells(&self) -> &[u64] {
        &self.cells[..self.len as usize]
    }

    fn heap_bytes(&self) -> usize {
        if self.cells.is_empty() { 0 } else { rounded(self.cells.len() * 8 + ARC_BYTES) }
    }

    fn position(&self, fingerprint: u32, leaf: u32, bits: u32) -> Option<usize> {
        let cells = self.cells();
        let from = lower_bound(cells, fingerprint, bits);
        let same = cells[from..].iter().take_while(|&&cell| fingerprint_of(cell) == fingerprint);
        same.enumerate().find(|&(_, &cell)| cell as u32 == leaf).map(|(at, _)| from + at)
    }

    fn insert(&mut self, at: usize, cell: u64) {
        let len = self.len as usize;
        if len == self.cells.len() {
            *self = Page::with_room(self.cells(), len + 1 + len / 16);
        }
        let cells = Arc::make_mut(&mut self.cells);
        cells.copy_within(at..len, at + 1);
        cells[at] = cell;
        self.len += 1;
    }

    fn remove(&mut self, at: usize) {
        let len = self.len as usize;
        Arc::make_mut(&mut self.cells).copy_within(at + 1..len, at);
        self.len -= 1;
        if len * 2 < self.cells.len() {
            *self = Page::of(self.cells());
        }
    }
}

#[inline]
fn cell_of(fingerprint: u32, leaf: u32) -> u64 {
    u64::from(fingerprint) << 32 | u64::from(leaf)
}

#[inline]
fn fingerprint_of(cell: u64) -> u32 {
    (cell >> 32) as u32
}

/// How many of the sorted cells of a page whose fingerprints have their upper `bits` in common lie below a fingerprint.
/// Fingerprints are spread evenly, so the place is guessed and the guess is put right: about one line of memory.
#[inline]
fn lower_bound(cells: &[u64], fingerprint: u32, bits: u32) -> usize {
    let mut at = guess(cells.len(), fingerprint, bits);
    while at > 0 && fingerprint_of(cells[at - 1]) >= fingerprint {
        at -= 1;
    }
    while at < cells.len() && fingerprint_of(cells[at]) < fingerprint {
        at += 1;
    }
    at
}

/// About where a fingerprint stands among so many.
#[inline]
fn guess(cells: usize, fingerprint: u32, bits: u32) -> usize {
    let within = u64::from(fingerprint) << bits & 0xffff_ffff;
    ((within * cells as u64) >> 32) as usize
}
