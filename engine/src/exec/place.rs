//! One slot's table in one database, and the counts that are kept in step with it.

use crate::stripe::{Directory, Stripe};
use crate::table::Table;

/// A slot's table with what must be kept in step with it.
pub(super) struct Place<'s> {
    pub(super) stripe: &'s Stripe,
    pub(super) directory: &'s mut Directory,
    /// The slot's place in its stripe.
    pub(super) at: usize,
    /// See [`Exec`].
    pub(super) counts: bool,
}

impl Place<'_> {
    #[inline]
    pub(super) fn table(&mut self) -> &mut Table {
        &mut self.directory.tables[self.at]
    }

    #[inline]
    pub(super) fn change_expiry(&mut self, before: Option<u64>, after: Option<u64>) {
        let change = i32::from(after.is_some()) - i32::from(before.is_some());
        if change != 0 {
            let table = self.table();
            table.volatile = table.volatile.wrapping_add_signed(change);
            self.count(0, change);
        }
        if let Some(at) = after {
            self.note_expiry(at);
        }
    }

    #[inline]
    pub(super) fn count(&self, keys: i32, volatile: i32) {
        if self.counts {
            self.directory.add(keys.into(), volatile.into());
            self.stripe.count(keys, volatile);
        }
    }

    pub(super) fn note_expiry(&mut self, at_ms: u64) {
        use std::sync::atomic::Ordering::Relaxed;
        let earliest = &mut self.directory.earliest_expiry_ms[self.at];
        *earliest = (*earliest).min(at_ms);
        if at_ms < self.stripe.earliest_expiry_ms.load(Relaxed) {
            self.stripe.earliest_expiry_ms.store(at_ms, Relaxed);
        }
    }
}
