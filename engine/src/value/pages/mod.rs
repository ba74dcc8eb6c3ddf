//! The large form of hashes and sets: byte strings with values, by extendible hashing over small pages.
//!
//! A directory of 2^depth places, found by the top bits of the hash, names pages; a page holds the elements whose hashes
//! begin with its prefix, packed ([`page`]). A full page is split in two by the next bit, two pages that have become
//! small are merged: never is more than a page moved for one element, but for the directory's own 4 bytes a place.
//! Pages are shared by the copies of a map until one of them writes, and so are lists of pages ([`Blocks`]). Elements over 1 KiB lie outside of the pages.

mod element;
mod outside;
mod page;
mod parts;
mod reap;
mod resize;
#[cfg(test)]
mod tests;
mod visit;

use std::sync::Arc;

use swell_wire::Arg;

use self::element::{INLINE_BYTES_MAX, Item};
use self::outside::Outside;
use self::page::Page;
use crate::entry::Value;
use crate::key::Hasher;
use crate::value::blocks::Blocks;
use crate::value::rounded;

pub use visit::Iter;

/// A map of byte strings to byte strings, each with an expiry or without.
#[derive(Clone, Debug)]
pub struct PageMap {
    /// Page by the top `depth` bits of the hash; empty while there is no page.
    directory: Vec<u32>,
    pages: Blocks<Page>,
    /// Elements that are too long for a page; a page's element names its place here.
    outside: Blocks<Arc<Outside>>,
    len: usize,
    volatile: usize,
    /// No element expires before this; unix milliseconds.
    earliest_ms: u64,
    /// Accounted bytes of pages and long elements.
    element_bytes: usize,
    /// The page that reaping goes on with.
    reap_at: u32,
    /// No page has more elements.
    fullest: u32,
    /// Pages that name as many bits as the directory.
    deepest: u32,
    depth: u8,
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// Field or member.
    pub key: &'a [u8],
    /// Empty for sets.
    pub value: Value<'a>,
    /// Unix milliseconds.
    pub expire_at_ms: Option<u64>,
}

/// Where an element lies.
#[derive(Clone, Copy)]
struct Place {
    page: usize,
    slot: usize,
}

impl Default for PageMap {
    fn default() -> Self {
        PageMap::new()
    }
}

impl PageMap {
    /// An empty map; allocates nothing.
    pub fn new() -> PageMap {
        PageMap {
            directory: Vec::new(),
            pages: Blocks::default(),
            outside: Blocks::default(),
            len: 0,
            volatile: 0,
            earliest_ms: u64::MAX,
            element_bytes: 0,
            reap_at: 0,
            fullest: 0,
            deepest: 0,
            depth: 0,
        }
    }

    /// Number of elements, expired ones among them until they are removed.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of elements with an expiry.
    #[inline]
    pub fn volatile_len(&self) -> usize {
        self.volatile
    }

    /// No element expires before this time (unix milliseconds); the first may expire later than it. Nothing when no
    /// element has an expiry.
    pub fn earliest_expiry(&self) -> Option<u64> {
        (self.volatile > 0).then_some(self.earliest_ms)
    }

    /// Accounted heap bytes, in O(1).
    pub fn heap_bytes(&self) -> usize {
        self.element_bytes
            + rounded(self.directory.capacity() * size_of::<u32>())
            + self.pages.heap_bytes()
            + self.outside.heap_bytes()
    }

    /// The element of a key.
    #[inline]
    pub fn get(&self, hasher: &Hasher, key: &[u8]) -> Option<Element<'_>> {
        let place = self.find(hasher.hash(key), key)?;
        Some(self.element(self.pages[place.page].item(place.slot)))
    }

    /// Whether there is an element of this key.
    #[inline]
    pub fn contains(&self, hasher: &Hasher, key: &[u8]) -> bool {
        self.find(hasher.hash(key), key).is_some()
    }

    /// Gives a key this value and expiry (unix milliseconds, or none); says whether the key was there.
    pub fn set(&mut self, hasher: &Hasher, key: &[u8], value: Arg<'_>, expire_at_ms: Option<u64>) -> bool {
        let hash = hasher.hash(key);
        let found = self.find(hash, key);
        if let (Arg::Slice(value), true) = (value, key.len() + value.len() <= INLINE_BYTES_MAX) {
            self.put(hasher, hash, found, Item::Inline { key, value, expire_at_ms });
        } else {
            let outside = Outside::new(key, value, expire_at_ms);
            self.put_outside(hasher, hash, found, outside);
        }
        found.is_some()
    }

    /// Adds a key without a value, if it is not there yet; says whether it was added.
    pub fn add(&mut self, hasher: &Hasher, key: &[u8]) -> bool {
        let hash = hasher.hash(key);
        if self.find(hash, key).is_some() {
            return false;
        }
        if key.len() <= INLINE_BYTES_MAX {
            self.put(hasher, hash, None, Item::Inline { key, value: b"", expire_at_ms: None });
        } else {
            self.put_outside(hasher, hash, None, Outside::new(key, Arg::Slice(b""), None));
        }
        true
    }

    /// Removes a key; says whether it was there.
    pub fn remove(&mut self, hasher: &Hasher, key: &[u8]) -> bool {
        let hash = hasher.hash(key);
        let Some(place) = self.find(hash, key) else { return false };
        self.take(hasher, place);
        self.shrink(hash);
        true
    }

    /// Sets or clears the expiry (unix milliseconds) of a key; says whether the key is there.
    pub fn set_expiry(&mut self, hasher: &Hasher, key: &[u8], expire_at_ms: Option<u64>) -> bool {
        let hash = hasher.hash(key);
        let Some(place) = self.find(hash, key) else { return false };
        match self.pages[place.page].item(place.slot) {
            Item::Inline { expire_at_ms: before, .. } if before == expire_at_ms => {}
            Item::Inline { value, .. } => {
                let mut copy = [0; INLINE_BYTES_MAX];
                let copy = &mut copy[..value.len()];
                copy.copy_from_slice(value);
                self.put(hasher, hash, Some(place), Item::Inline { key, value: copy, expire_at_ms });
            }
            Item::Outside(at) => {
                let element = &mut self.outside[at as usize];
                let before = element.expire_at_ms;
                if before != expire_at_ms {
                    Arc::make_mut(element).expire_at_ms = expire_at_ms;
                    self.count_expiry(before, expire_at_ms);
                    self.note_expiry(place.page, expire_at_ms);
                }
            }
        }
        true
    }

    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<Place> {
        let page = *self.directory.get(self.directory_at(hash))? as usize;
        let bytes = &self.pages[page];
        let slot = bytes.find(bytes.tag_of(hash), |item| self.key_of(item) == key)?;
        Some(Place { page, slot })
    }

    /// The place in the directory that a hash belongs to.
    #[inline]
    fn directory_at(&self, hash: u64) -> usize {
        hash.checked_shr(u64::BITS - u32::from(self.depth)).unwrap_or(0) as usize
    }

    #[inline]
    fn page_of(&self, hash: u64) -> usize {
        self.directory[self.directory_at(hash)] as usize
    }

    #[inline]
    fn key_of<'a>(&'a self, item: Item<'a>) -> &'a [u8] {
        match item {
            Item::Inline { key, .. } => key,
            Item::Outside(at) => self.outside[at as usize].key(),
        }
    }

    #[inline]
    fn element<'a>(&'a self, item: Item<'a>) -> Element<'a> {
        match item {
            Item::Inline { key, value, expire_at_ms } => Element { key, value: Value::Slice(value), expire_at_ms },
            Item::Outside(at) => {
                let outside = &self.outside[at as usize];
                Element { key: outside.key(), value: outside.value(), expire_at_ms: outside.expire_at_ms }
            }
        }
    }

    fn expiry_of(&self, item: Item<'_>) -> Option<u64> {
        match item {
            Item::Inline { expire_at_ms, .. } => expire_at_ms,
            Item::Outside(at) => self.outside[at as usize].expire_at_ms,
        }
    }

    /// Puts a long element in; `found` is the one before of this key.
    fn put_outside(&mut self, hasher: &Hasher, hash: u64, found: Option<Place>, outside: Outside) {
        let expire_at_ms = outside.expire_at_ms;
        if let Some(place) = found {
            self.take(hasher, place);
        }
        self.element_bytes += outside.heap_bytes();
        let item = Item::Outside(self.outside.len() as u32);
        self.outside.push(Arc::new(outside));
        self.put_new(hasher, hash, item);
        self.count_expiry(None, expire_at_ms);
        self.note_expiry(self.page_of(hash), expire_at_ms);
    }

    /// Puts an inline element in; `found` is the one before of this key.
    #[inline]
    fn put(&mut self, hasher: &Hasher, hash: u64, found: Option<Place>, item: Item<'_>) {
        if let Some(place) = found {
            let page = &mut self.pages[place.page];
            let before = page.item(place.slot);
            if let Item::Inline { expire_at_ms: before, .. } = before
                && page.overwrite(place.slot, item)
            {
                let now = self.expiry_of(item);
                self.count_expiry(before, now);
                return;
            }
            self.take(hasher, place);
        }
        self.put_new(hasher, hash, item);
        self.count_expiry(None, self.expiry_of(item));
    }

    /// Adds an element whose key is not there.
    fn put_new(&mut self, hasher: &Hasher, hash: u64, item: Item<'_>) {
        let size = item.size();
        if self.pages.is_empty() {
            self.begin(size);
        }
        let mut at = self.page_of(hash);
        while !self.pages[at].has_room(size) {
            self.make_room(hasher, at, size);
            at = self.page_of(hash);
        }
        let page = &mut self.pages[at];
        page.insert(page.tag_of(hash), item);
        self.fullest = self.fullest.max(page.count() as u32);
        self.len += 1;
    }

    /// Takes an element out, leaving its page as large as it is.
    fn take(&mut self, hasher: &Hasher, place: Place) {
        let item = self.pages[place.page].item(place.slot);
        let expire_at_ms = self.expiry_of(item);
        let outside = match item {
            Item::Outside(at) => Some(at),
            Item::Inline { .. } => None,
        };
        self.pages[place.page].remove(place.slot);
        self.len -= 1;
        self.count_expiry(expire_at_ms, None);
        if let Some(at) = outside {
            self.drop_outside(hasher, at);
        }
    }

    /// Frees a long element that no page names any more; the last of the list takes its place.
    fn drop_outside(&mut self, hasher: &Hasher, at: u32) {
        let Some(freed) = self.outside.swap_remove(at as usize) else { return };
        self.element_bytes -= freed.heap_bytes();
        let moved_from = self.outside.len() as u32;
        if let Some(moved) = self.outside.get(at as usize) {
            let hash = hasher.hash(moved.key());
            let page = self.page_of(hash);
            let page = &mut self.pages[page];
            if let Some(slot) = page.find(page.tag_of(hash), |item| item == Item::Outside(moved_from)) {
                page.overwrite(slot, Item::Outside(at));
            }
        }
    }

    /// Counts that an element's expiry has changed.
    #[inline]
    fn count_expiry(&mut self, before: Option<u64>, now: Option<u64>) {
        self.volatile = self.volatile + usize::from(now.is_some()) - usize::from(before.is_some());
        if let Some(now) = now {
            self.earliest_ms = self.earliest_ms.min(now);
        }
        if self.volatile == 0 {
            self.earliest_ms = u64::MAX;
        }
    }

    /// A page learns that a long element of its own expires.
    fn note_expiry(&mut self, page: usize, expire_at_ms: Option<u64>) {
        if let Some(at) = expire_at_ms {
            let page = &mut self.pages[page];
            page.earliest_ms = page.earliest_ms.min(at);
        }
    }
}
