//! Going over a map: all of it in hash order, a part at a time by cursor, or one element at random.

use std::collections::HashSet;

use super::{Element, PageMap};
use crate::value::random::Random;

/// Bits of the hash that a cursor holds.
const CURSOR_BITS: u8 = 32;
const CURSOR_END: u64 = 1 << CURSOR_BITS;
const TAG_BITS: u8 = 16;
/// Pages drawn for one random element.
const DRAWS_MAX: usize = 64;

/// All elements in hash order.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    map: &'a PageMap,
    /// Place in the directory where the next page begins.
    at: usize,
    page: usize,
    slot: usize,
    slots: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        while self.slot == self.slots {
            self.page = *self.map.directory.get(self.at)? as usize;
            let page = &self.map.pages[self.page];
            self.at += 1 << (self.map.depth - page.depth);
            (self.slot, self.slots) = (0, page.count());
        }
        self.slot += 1;
        Some(self.map.element(self.map.pages[self.page].item(self.slot - 1)))
    }
}

impl PageMap {
    /// All elements in hash order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { map: self, at: 0, page: 0, slot: 0, slots: 0 }
    }

    /// Visits about `count` elements from `cursor` on; returns the cursor to go on with, 0 at the end. A cursor is the
    /// upper 32 bits of the hash of what comes next: it means the same in any copy of the map, larger or smaller, on any
    /// node with the same seed. What is there during a whole scan is visited at least once; elements whose hashes
    /// agree in those bits are visited together.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, mut each: impl FnMut(Element<'a>)) -> u64 {
        let mut place = cursor;
        let mut visited = 0;
        while place < CURSOR_END && !self.directory.is_empty() {
            let page = &self.pages[self.page_of(place << CURSOR_BITS)];
            let begins = |slot: usize| first_place(page.prefix, page.depth, page.tag(slot));
            let ends = |slot: usize| begins(slot) + place_width(page.depth);
            let mut slot = page.lower_bound(page.tag_of(place << CURSOR_BITS));
            while slot < page.count() {
                each(self.element(page.item(slot)));
                visited += 1;
                let end = ends(slot);
                slot += 1;
                if visited >= count && (slot == page.count() || begins(slot) >= end) {
                    return if end >= CURSOR_END { 0 } else { end };
                }
            }
            place = page_end(page.prefix, page.depth);
            if visited >= count && place < CURSOR_END {
                return place;
            }
        }
        0
    }

    /// An element drawn at random, all with the same chance: a page is drawn, and taken with the chance that its number
    /// of elements has beside that of the fullest page; else drawn again. (After 64 draws in vain, which only a map
    /// that has lost nearly all of its elements comes to, the next page that is not empty is taken.)
    pub fn random(&self, mut random: impl FnMut() -> u64) -> Option<Element<'_>> {
        if self.len == 0 {
            return None;
        }
        for _ in 0..DRAWS_MAX {
            let page = &self.pages[below(random(), self.pages.len())];
            let drawn = below(random(), self.fullest as usize);
            if drawn < page.count() {
                return Some(self.element(page.item(drawn)));
            }
        }
        let first = below(random(), self.pages.len());
        let page = self.pages.iter().cycle().skip(first).find(|page| page.count() > 0)?;
        Some(self.element(page.item(below(random(), page.count()))))
    }
}

impl PageMap {
    /// `count` elements (or all), none twice, drawn at random.
    pub fn sample<'a>(&'a self, count: usize, random: &mut Random, mut each: impl FnMut(Element<'a>)) {
        if count >= self.len / 3 {
            return random.sample(self.iter(), self.len, count, each);
        }
        let mut drawn = HashSet::with_capacity(count);
        while drawn.len() < count {
            let Some(element) = self.random(|| random.number()) else { return };
            // Keys of one map that is not changed meanwhile are the same where they lie at the same place.
            if drawn.insert((element.key.as_ptr(), element.key.len())) {
                each(element);
            }
        }
    }
}

/// A number below `bound` from 64 random bits.
fn below(random: u64, bound: usize) -> usize {
    ((u128::from(random) * bound as u128) >> 64) as usize
}

/// The lowest place that an element with this tag may have.
fn first_place(prefix: u32, depth: u8, tag: u16) -> u64 {
    (u64::from(prefix) << TAG_BITS | u64::from(tag)) << (u64::BITS as u8 - TAG_BITS - depth) >> CURSOR_BITS
}

/// Number of places that elements with one tag may have.
fn place_width(depth: u8) -> u64 {
    1 << (CURSOR_BITS - TAG_BITS).saturating_sub(depth)
}

/// The place behind a page's last.
fn page_end(prefix: u32, depth: u8) -> u64 {
    (u64::from(prefix) + 1) << (CURSOR_BITS - depth)
}
