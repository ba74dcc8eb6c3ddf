//! Asking the memory for what a batch will read, before the first of its calls runs: tables, then entries. Nothing depends
//! on it: what is not there any more when its call runs was asked for in vain. A third pass, for the elements of large
//! collections, cost as much as it saved.

use crate::engine::Engine;
use crate::key::{Db, KeyHash};
use crate::stripe::{STRIPE_SLOTS, stripe_of};
use crate::table::Table;

impl Engine {
    /// Asks the memory for what the calls with these keys will need: first the tables' words, without any lock.
    #[inline]
    pub fn prefetch_tables(&self, db: Db, keys: &[KeyHash]) {
        for key in keys {
            let Some(descriptor) = self.stripe(stripe_of(key.slot)).descriptor(db, key.slot) else { continue };
            if let Some(address) = Table::home_address(descriptor, key.hash) {
                prefetch(address.cast());
                prefetch(address.cast::<u8>().wrapping_add(64));
            }
        }
    }

    /// Then the entries, each under a try-lock held for that read only; a taken stripe is skipped.
    #[inline]
    pub fn prefetch_entries(&self, db: Db, keys: &[KeyHash]) {
        for key in keys {
            let stripe = self.stripe(stripe_of(key.slot));
            if !stripe.try_lock() {
                continue;
            }
            // SAFETY: the lock is held until the unlock below.
            let directory = unsafe { stripe.directory(db) };
            let candidate =
                directory.and_then(|directory| directory.tables[key.slot.index() % STRIPE_SLOTS].candidate(key.hash));
            stripe.unlock();
            if let Some(entry) = candidate {
                let entry = entry.as_ptr().cast_const();
                prefetch(entry);
                prefetch(entry.wrapping_add(64));
            }
        }
    }
}

/// Asks the memory for a cache line.
#[inline]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is harmless: it reads nothing that the program sees.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, readonly, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = address;
}
