//! Pages that become too small or too large: growing, splitting, merging, and the directory with them.

use super::PageMap;
use super::page::{FULL_BYTES, Page};
use crate::key::Hasher;

/// The directory never names more bits than this.
const DEPTH_MAX: u8 = 24;
/// The directory has at most this many places for each page, so that hashes that do not spread cost pages over 4 KiB,
/// not a directory without end.
const PLACES_PER_PAGE_MAX: usize = 8;

impl PageMap {
    /// The first page.
    pub(super) fn begin(&mut self, size: usize) {
        self.pages.push(Page::with_room(1, size, 0, 0));
        self.element_bytes += self.pages[0].heap_bytes();
        self.directory.push(0);
        self.deepest = 1;
    }

    /// Makes room for an element of `size` bytes in a page, or splits it, after which the element may belong to
    /// another page.
    pub(super) fn make_room(&mut self, hasher: &Hasher, at: usize, size: usize) {
        let page = &self.pages[at];
        // What was changed in place will be again: a page with holes keeps some room, as else each change rebuilt it.
        let most = if page.holes() == 0 { FULL_BYTES } else { FULL_BYTES - FULL_BYTES / 16 };
        let is_full = page.live() + size + size_of::<u32>() > most;
        if is_full && page.count() > 1 && self.may_split(at) {
            self.split(hasher, at);
        } else {
            let grown = page.rebuilt(size);
            self.replace(at, grown);
        }
    }

    /// Makes the page of a hash, which has lost an element, smaller where it is half empty; merges it with its
    /// neighbour where both are small.
    pub(super) fn shrink(&mut self, hash: u64) {
        let mut at = self.page_of(hash);
        if self.pages[at].live() * 2 > self.pages[at].capacity() {
            return;
        }
        while let Some(with) = self.merge_partner(at) {
            at = self.merge(at, with);
        }
        let page = &self.pages[at];
        if !page.is_smallest() && page.live() * 2 <= page.capacity() {
            let smaller = page.rebuilt(page.live() / 8);
            self.replace(at, smaller);
        }
    }

    /// The elements of page `at` in this page's stead.
    fn replace(&mut self, at: usize, page: Page) {
        self.element_bytes = self.element_bytes + page.heap_bytes() - self.pages[at].heap_bytes();
        self.pages[at] = page;
    }

    fn may_split(&self, at: usize) -> bool {
        let depth = self.pages[at].depth;
        depth < self.depth
            || (depth < DEPTH_MAX && self.directory.len() * 2 <= PLACES_PER_PAGE_MAX * (self.pages.len() + 1))
    }

    /// Splits a page by the next bit of its elements' hashes.
    fn split(&mut self, hasher: &Hasher, at: usize) {
        if self.pages[at].depth == self.depth {
            self.double();
        }
        let old = &self.pages[at];
        let middle = old.lower_bound(1 << 15);
        let low_bytes = (0..middle).map(|slot| old.item(slot).size()).sum();
        let (prefix, depth) = (old.prefix << 1, old.depth + 1);
        let mut low = Page::with_room(middle, low_bytes, prefix, depth);
        let mut high = Page::with_room(old.count() - middle, old.payload() - low_bytes, prefix | 1, depth);
        for (slot, (_, item)) in old.items().enumerate() {
            let page = if slot < middle { &mut low } else { &mut high };
            page.push(page.tag_of(hasher.hash(self.key_of(item))), item);
        }
        if self.volatile > 0 {
            low.earliest_ms = self.earliest_in(&low);
            high.earliest_ms = self.earliest_in(&high);
        }
        self.element_bytes += high.heap_bytes();
        self.replace(at, low);
        self.pages.push(high);
        if depth == self.depth {
            self.deepest += 2;
        }
        self.point_at(self.pages.len() - 1);
    }

    /// The page that `at` may be merged with: its sibling, where both together would be at most half full.
    fn merge_partner(&self, at: usize) -> Option<usize> {
        let page = &self.pages[at];
        let sibling = (page.prefix ^ 1) as usize;
        let with = *self.directory.get(sibling << (self.depth - page.depth))? as usize;
        let together = page.live() + self.pages[with].live();
        (page.depth > 0 && self.pages[with].depth == page.depth && together <= FULL_BYTES / 2).then_some(with)
    }

    /// Merges two siblings; returns where their elements are now.
    fn merge(&mut self, at: usize, with: usize) -> usize {
        let (low, high) = if self.pages[at].prefix & 1 == 0 { (at, with) } else { (with, at) };
        let (left, right) = (&self.pages[low], &self.pages[high]);
        let payload = left.payload() + right.payload();
        let mut page = Page::with_room(left.count() + right.count(), payload, left.prefix >> 1, left.depth - 1);
        left.items().for_each(|(tag, item)| page.push(tag >> 1, item));
        right.items().for_each(|(tag, item)| page.push(tag >> 1 | 1 << 15, item));
        page.earliest_ms = left.earliest_ms.min(right.earliest_ms);
        self.fullest = self.fullest.max(page.count() as u32);
        if left.depth == self.depth {
            self.deepest -= 2;
        }
        self.replace(low, page);
        self.point_at(low);
        let at = self.drop_page(high, low);
        while self.deepest == 0 && self.depth > 0 {
            self.halve();
        }
        at
    }

    /// Frees page `at`, which the directory no longer names; the last page takes its place. Returns where page `keep`
    /// is now.
    fn drop_page(&mut self, at: usize, keep: usize) -> usize {
        if let Some(freed) = self.pages.swap_remove(at) {
            self.element_bytes -= freed.heap_bytes();
        }
        if at < self.pages.len() {
            self.point_at(at);
        }
        if keep == self.pages.len() { at } else { keep }
    }

    /// Makes the directory name page `at` wherever its prefix says.
    fn point_at(&mut self, at: usize) {
        let page = &self.pages[at];
        let free_bits = self.depth - page.depth;
        let first = (page.prefix as usize) << free_bits;
        self.directory[first..first + (1 << free_bits)].fill(at as u32);
    }

    fn double(&mut self) {
        let mut doubled = Vec::with_capacity(self.directory.len() * 2);
        self.directory.iter().for_each(|&page| doubled.extend([page, page]));
        self.directory = doubled;
        self.depth += 1;
        self.deepest = 0;
    }

    fn halve(&mut self) {
        self.directory = self.directory.iter().step_by(2).copied().collect();
        self.depth -= 1;
        self.deepest = self.pages.iter().filter(|page| page.depth == self.depth).count() as u32;
    }
}
