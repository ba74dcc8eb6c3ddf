//! Removing the elements that have expired, some at a time.

use super::page::Page;
use super::{PageMap, Place};
use crate::key::Hasher;

/// Pages looked at in one call, beyond those that something was removed from.
const PAGES_MAX: usize = 256;

impl PageMap {
    /// Removes elements that expired before `now_ms` (unix milliseconds), at most about `max` of them (a page is
    /// finished once begun), and tells each key. Fewer than that may be removed though there are more: as long as
    /// [`PageMap::earliest_expiry`] lies before `now_ms` there may be.
    pub fn remove_expired(&mut self, hasher: &Hasher, now_ms: u64, max: usize, mut gone: impl FnMut(&[u8])) -> usize {
        let mut removed = 0;
        let mut looked_at = 0;
        while removed < max && looked_at < PAGES_MAX && self.volatile > 0 && self.earliest_ms < now_ms {
            let at = self.reap_at as usize;
            if at >= self.pages.len() {
                self.reap_at = 0;
                self.earliest_ms = self.pages.iter().map(|page| page.earliest_ms).min().unwrap_or(u64::MAX);
                continue;
            }
            self.reap_at += 1;
            looked_at += 1;
            if self.pages[at].earliest_ms < now_ms {
                removed += self.reap(hasher, at, now_ms, &mut gone);
            }
        }
        removed
    }

    fn reap(&mut self, hasher: &Hasher, page: usize, now_ms: u64, gone: &mut impl FnMut(&[u8])) -> usize {
        let mut removed = 0;
        let mut hash = None;
        for slot in (0..self.pages[page].count()).rev() {
            let item = self.pages[page].item(slot);
            if self.expiry_of(item).is_some_and(|at| at < now_ms) {
                let key = self.key_of(item);
                hash = Some(hasher.hash(key));
                gone(key);
                self.take(hasher, Place { page, slot });
                removed += 1;
            }
        }
        self.pages[page].earliest_ms = self.earliest_in(&self.pages[page]);
        if let Some(hash) = hash {
            self.shrink(hash);
        }
        removed
    }

    /// When the first element of a page expires.
    pub(super) fn earliest_in(&self, page: &Page) -> u64 {
        page.items().filter_map(|(_, item)| self.expiry_of(item)).min().unwrap_or(u64::MAX)
    }
}
