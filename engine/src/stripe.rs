//! A stripe: 64 contiguous slots under one lock, with a queue of tickets for those who found it taken.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use swell_ring::{SLOTS, Slot};

use crate::effect::Observers;
use crate::gate::Gate;
use crate::key::{DATABASES, Db, all_dbs};
use crate::table::Table;

/// Slots of one stripe.
pub const STRIPE_SLOTS: usize = 64;
/// Stripes of an engine.
pub const STRIPES: usize = SLOTS / STRIPE_SLOTS;
/// How often a taken stripe is tried before a ticket is drawn; a held lock is mostly free again within a microsecond.
const SPINS: u32 = 48;

const LOCKED: u32 = 1;
/// There are tickets: newcomers queue behind them.
const WAITING: u32 = 2;

/// The stripe that a slot belongs to.
#[inline]
pub fn stripe_of(slot: Slot) -> usize {
    slot.index() / STRIPE_SLOTS
}

/// One database's part of a stripe.
pub struct Directory {
    pub tables: [Table; STRIPE_SLOTS],
    /// No key of the slot expires before this (unix milliseconds); `u64::MAX`: none expires.
    pub earliest_expiry_ms: [u64; STRIPE_SLOTS],
    /// Keys in all its tables whose slots count (see [`Gate::counts`]); written under the lock, read by anyone.
    keys: AtomicU64,
    /// Keys of these with an expiry.
    volatile: AtomicU64,
}

/// What the lock protects.
#[derive(Default)]
pub struct StripeData {
    /// One gate for all slots until one of them differs.
    pub gate: Gate,
    gates: Option<Box<[Gate; STRIPE_SLOTS]>>,
    /// Who follows the changes.
    pub observer: Option<Box<Observers>>,
}

/// A lock with what it protects.
#[repr(align(128))]
pub struct Stripe {
    state: AtomicU32,
    /// Per database, by where it lives: made when first used, never freed or moved while the engine lives, so that
    /// prefetching and counting need no lock.
    directories: [AtomicPtr<Directory>; DATABASES],
    /// No key of the stripe expires before this, unix milliseconds.
    pub earliest_expiry_ms: AtomicU64,
    /// Keys of all databases whose slots count, and those of them with an expiry; written under the lock, read by
    /// anyone.
    keys: AtomicU32,
    volatile: AtomicU32,
    /// Bytes of the slots that do not count; written under the lock, read by anyone.
    uncounted_bytes: AtomicI64,
    data: UnsafeCell<StripeData>,
    waiting: Mutex<Waiting>,
}

/// Holds a stripe's lock; gives it back also when a panic passes, so that a fault in one command does not stop a
/// stripe for good.
pub struct Held<'s> {
    stripe: &'s Stripe,
}

/// A place in a stripe's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    stripe: u16,
    number: u64,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    tickets: VecDeque<(u64, Waker)>,
    /// Those who wait for a gate to change.
    gates: Vec<Waker>,
}

// SAFETY: `data` is only reached through a held lock.
unsafe impl Sync for Stripe {}

impl Directory {
    fn new() -> Box<Directory> {
        Box::new(Directory {
            tables: [const { Table::new() }; STRIPE_SLOTS],
            earliest_expiry_ms: [u64::MAX; STRIPE_SLOTS],
            keys: AtomicU64::new(0),
            volatile: AtomicU64::new(0),
        })
    }
}

impl Directory {
    /// Keys, or keys with an expiry.
    #[inline]
    pub fn count(&self, volatile_only: bool) -> u64 {
        if volatile_only { self.volatile.load(Ordering::Relaxed) } else { self.keys.load(Ordering::Relaxed) }
    }

    /// Adds to the counts. The caller holds the stripe's lock.
    #[inline]
    pub fn add(&self, keys: i64, volatile: i64) {
        let add = |count: &AtomicU64, more| {
            count.store(count.load(Ordering::Relaxed).wrapping_add_signed(more), Ordering::Relaxed)
        };
        if keys != 0 {
            add(&self.keys, keys);
        }
        if volatile != 0 {
            add(&self.volatile, volatile);
        }
    }
}

impl StripeData {
    /// The gate of a slot.
    #[inline]
    pub fn gate_of(&self, slot: Slot) -> Gate {
        match &self.gates {
            None => self.gate,
            Some(gates) => gates[slot.index() % STRIPE_SLOTS],
        }
    }

    /// The gate of the slot at this place in the stripe.
    pub fn gate_at(&self, at: usize) -> Gate {
        self.gates.as_ref().map_or(self.gate, |gates| gates[at % STRIPE_SLOTS])
    }

    /// The gates in use: one for all slots, or each slot's.
    pub fn gates(&self) -> impl Iterator<Item = Gate> {
        let each = self.gates.iter().flat_map(|gates| gates.iter().copied());
        each.chain(self.gates.is_none().then_some(self.gate))
    }

    fn set_gate(&mut self, slot: Slot, gate: Gate) {
        let all = self.gate;
        let gates = self.gates.get_or_insert_with(|| Box::new([all; STRIPE_SLOTS]));
        gates[slot.index() % STRIPE_SLOTS] = gate;
        if gates.iter().all(|other| *other == gate) {
            self.gate = gate;
            self.gates = None;
        }
    }
}

impl Default for Stripe {
    fn default() -> Self {
        Stripe {
            state: AtomicU32::new(0),
            directories: [const { AtomicPtr::new(ptr::null_mut()) }; DATABASES],
            earliest_expiry_ms: AtomicU64::new(u64::MAX),
            keys: AtomicU32::new(0),
            volatile: AtomicU32::new(0),
            uncounted_bytes: AtomicI64::new(0),
            data: UnsafeCell::default(),
            waiting: Mutex::default(),
        }
    }
}

impl Stripe {
    /// Takes the lock if it is free and nobody queues.
    #[inline]
    pub fn try_lock(&self) -> bool {
        self.state.compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes the lock, spinning briefly.
    #[inline]
    pub fn lock_briefly(&self) -> bool {
        self.try_lock() || self.spin()
    }

    #[cold]
    fn spin(&self) -> bool {
        for _ in 0..SPINS {
            std::hint::spin_loop();
            if self.state.load(Ordering::Relaxed) == 0 && self.try_lock() {
                return true;
            }
        }
        false
    }

    /// Takes the lock, waiting as long as it takes and passing those who queue: for upkeep and tools, never for a
    /// worker's requests.
    pub fn lock_patiently(&self) {
        loop {
            let state = self.state.load(Ordering::Relaxed);
            let free = state & LOCKED == 0;
            let wanted = state | LOCKED;
            if free && self.state.compare_exchange(state, wanted, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Takes the lock, spinning briefly, until the guard goes.
    #[inline]
    pub fn hold_briefly(&self) -> Option<Held<'_>> {
        // Not `then_some`: a guard made in vain would unlock when dropped.
        self.lock_briefly().then(|| Held { stripe: self })
    }

    /// As [`Stripe::lock_patiently`], until the guard goes.
    pub fn hold_patiently(&self) -> Held<'_> {
        self.lock_patiently();
        Held { stripe: self }
    }

    /// A guard for a lock that is held already.
    ///
    /// # Safety
    /// The caller holds the lock and leaves the unlocking to the guard.
    #[inline]
    pub unsafe fn adopt(&self) -> Held<'_> {
        Held { stripe: self }
    }

    /// Takes the lock for the holder of a ticket; the ticket is used up when this succeeds.
    pub fn lock_with(&self, ticket: Ticket) -> bool {
        let mut waiting = self.waiting();
        if waiting.tickets.front().is_none_or(|(number, _)| *number != ticket.number) {
            return false;
        }
        let free = self.state.compare_exchange(WAITING, WAITING | LOCKED, Ordering::Acquire, Ordering::Relaxed);
        if free.is_err() {
            return false;
        }
        waiting.tickets.pop_front();
        if waiting.tickets.is_empty() {
            self.state.fetch_and(!WAITING, Ordering::Relaxed);
        }
        true
    }

    /// Gives the lock back and wakes the head of the queue.
    #[inline]
    pub fn unlock(&self) {
        let before = self.state.fetch_sub(LOCKED, Ordering::Release);
        debug_assert!(before & LOCKED != 0);
        if before & WAITING != 0 {
            self.wake_head();
        }
    }

    #[cold]
    fn wake_head(&self) {
        let waker = self.waiting().tickets.front().map(|(_, waker)| waker.clone());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Draws a ticket: `waker` is woken when it is this ticket's turn (at once, if the lock is free by now).
    pub fn draw(&self, index: usize, waker: &Waker) -> Ticket {
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        waiting.tickets.push_back((number, waker.clone()));
        let before = self.state.fetch_or(WAITING, Ordering::Relaxed);
        let is_head = waiting.tickets.len() == 1;
        drop(waiting);
        if before & LOCKED == 0 && is_head {
            waker.wake_by_ref();
        }
        Ticket { stripe: index as u16, number }
    }

    /// Gives a ticket up (its connection has gone) and passes the turn on.
    pub fn cancel(&self, ticket: Ticket) {
        let mut waiting = self.waiting();
        waiting.tickets.retain(|(number, _)| *number != ticket.number);
        let state = if waiting.tickets.is_empty() {
            self.state.fetch_and(!WAITING, Ordering::Relaxed)
        } else {
            self.state.load(Ordering::Relaxed)
        };
        drop(waiting);
        if state & LOCKED == 0 {
            self.wake_head();
        }
    }

    /// Keys that count (or those with an expiry) of all databases, as of a moment ago.
    #[inline]
    pub fn key_count_hint(&self, volatile_only: bool) -> u64 {
        u64::from(if volatile_only { self.volatile.load(Ordering::Relaxed) } else { self.keys.load(Ordering::Relaxed) })
    }

    /// Adds to the counts that others read. The caller holds the lock.
    #[inline]
    pub fn count(&self, keys: i32, volatile: i32) {
        if keys != 0 {
            self.keys.store(self.keys.load(Ordering::Relaxed).wrapping_add_signed(keys), Ordering::Relaxed);
        }
        if volatile != 0 {
            self.volatile.store(self.volatile.load(Ordering::Relaxed).wrapping_add_signed(volatile), Ordering::Relaxed);
        }
    }

    /// Wakes `waker` when a gate of this stripe changes.
    pub fn wait_for_gate(&self, waker: &Waker) {
        self.waiting().gates.push(waker.clone());
    }

    /// Sets a slot's gate and wakes those who wait for it. Only the node calls this; the lock must not be held.
    pub fn set_gate(&self, slot: Slot, gate: Gate) {
        let held = self.hold_patiently();
        // SAFETY: the lock is held.
        let data = unsafe { self.data() };
        let before = data.gate_of(slot);
        data.set_gate(slot, gate);
        if before.counts() != gate.counts() {
            self.recount(slot, gate.counts());
        }
        drop(held);
        let wakers = std::mem::take(&mut self.waiting().gates);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The keys of a slot count from now on, or no longer. The lock is held.
    #[cold]
    fn recount(&self, slot: Slot, counts: bool) {
        let (at, sign) = (slot.index() % STRIPE_SLOTS, if counts { 1 } else { -1 });
        for db in all_dbs() {
            // SAFETY: the caller holds the lock; the reference ends with this turn.
            let Some(directory) = (unsafe { self.directory(db) }) else { continue };
            let table = &directory.tables[at];
            let (keys, volatile) = (table.len() as i32 * sign, table.volatile as i32 * sign);
            let bytes = table.bytes as i64 + table.array_bytes() as i64;
            directory.add(keys.into(), volatile.into());
            self.count(keys, volatile);
            self.add_uncounted(-bytes * i64::from(sign));
            if counts {
                // Expiry has passed the slot by and may have forgotten it.
                self.earliest_expiry_ms.fetch_min(directory.earliest_expiry_ms[at], Ordering::Relaxed);
            }
        }
    }

    /// Bytes of the slots that do not count, as of a moment ago.
    pub fn uncounted_bytes(&self) -> i64 {
        self.uncounted_bytes.load(Ordering::Relaxed)
    }

    /// Adds to those. The caller holds the lock.
    pub(crate) fn add_uncounted(&self, bytes: i64) {
        self.uncounted_bytes.store(self.uncounted_bytes() + bytes, Ordering::Relaxed);
    }

    /// What the lock protects.
    ///
    /// # Safety
    /// The caller holds the lock, and makes no second reference while this one lives.
    #[inline]
    #[allow(clippy::mut_from_ref)] // That is what a lock is for.
    pub unsafe fn data(&self) -> &mut StripeData {
        // SAFETY: as the caller promises.
        unsafe { &mut *self.data.get() }
    }

    /// A database's directory, if it was ever used.
    ///
    /// # Safety
    /// As [`Stripe::data`].
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn directory(&self, db: Db) -> Option<&mut Directory> {
        let directory = self.directories[db.index()].load(Ordering::Relaxed);
        // SAFETY: directories live as long as the stripe; the caller holds the lock.
        unsafe { directory.as_mut() }
    }

    /// A database's directory, made if need be.
    ///
    /// # Safety
    /// As [`Stripe::data`].
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn directory_or_new(&self, db: Db) -> &mut Directory {
        let directory = match self.directories[db.index()].load(Ordering::Relaxed) {
            none if none.is_null() => self.add_directory(db),
            directory => directory,
        };
        // SAFETY: as above, and not null.
        unsafe { &mut *directory }
    }

    #[cold]
    fn add_directory(&self, db: Db) -> *mut Directory {
        let directory = Box::into_raw(Directory::new());
        self.directories[db.index()].store(directory, Ordering::Release);
        directory
    }

    /// Keys of one database that count (or those with an expiry), as of a moment ago, without the lock.
    pub fn db_count(&self, db: Db, volatile_only: bool) -> u64 {
        let directory = self.directories[db.index()].load(Ordering::Acquire);
        if directory.is_null() {
            return 0;
        }
        // SAFETY: directories are never freed while the stripe lives; only the atomic fields are touched.
        unsafe {
            let count = if volatile_only { &raw const (*directory).volatile } else { &raw const (*directory).keys };
            (*count).load(Ordering::Relaxed)
        }
    }

    /// The descriptor word of a slot's table, read without the lock, for prefetching only.
    #[inline]
    pub fn descriptor(&self, db: Db, slot: Slot) -> Option<u64> {
        let directory = self.directories[db.index()].load(Ordering::Acquire);
        // SAFETY: a directory is never freed or moved while the engine lives, and the word is atomic.
        (!directory.is_null())
            .then(|| unsafe { Table::descriptor_of(&raw const (*directory).tables[slot.index() % STRIPE_SLOTS]) })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.stripe.unlock();
    }
}

impl Drop for Stripe {
    fn drop(&mut self) {
        for directory in &self.directories {
            let directory = directory.load(Ordering::Relaxed);
            if !directory.is_null() {
                // SAFETY: made by Box::into_raw, freed once; the engine has emptied the tables.
                drop(unsafe { Box::from_raw(directory) });
            }
        }
    }
}

impl Ticket {
    /// The stripe it queues at.
    pub fn stripe(self) -> usize {
        self.stripe as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Counter {
        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn tickets_are_served_in_order_and_newcomers_wait() {
        let stripe = Stripe::default();
        let (a, b) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
        assert!(stripe.try_lock());
        let first = stripe.draw(0, &a.clone().into());
        let second = stripe.draw(0, &b.clone().into());
        stripe.unlock();
        assert_eq!((a.count(), b.count()), (1, 0));
        assert!(!stripe.try_lock(), "a newcomer queues behind tickets");
        assert!(!stripe.lock_with(second), "not its turn");
        assert!(stripe.lock_with(first));
        stripe.unlock();
        assert_eq!(b.count(), 1);
        assert!(stripe.lock_with(second));
        stripe.unlock();
        assert!(stripe.try_lock());
    }

    #[test]
    fn a_ticket_on_a_free_lock_is_called_at_once_and_a_cancelled_one_passes_the_turn_on() {
        let stripe = Stripe::default();
        let (a, b) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
        let first = stripe.draw(0, &a.clone().into());
        let second = stripe.draw(0, &b.clone().into());
        assert_eq!((a.count(), b.count()), (1, 0));
        stripe.cancel(first);
        assert_eq!(b.count(), 1);
        stripe.cancel(second);
        assert!(stripe.try_lock());
    }

    #[test]
    fn one_gate_speaks_for_all_until_one_differs() {
        let mut data = StripeData::default();
        let slot = Slot::new(70).unwrap();
        data.set_gate(slot, Gate::Sealed);
        assert_eq!(data.gate_of(slot), Gate::Sealed);
        assert_eq!(data.gate_of(Slot::new(71).unwrap()), Gate::Serving);
        data.set_gate(slot, Gate::Serving);
        assert!(data.gates.is_none());
    }

    #[test]
    fn a_guard_is_made_only_for_a_lock_that_was_taken() {
        let stripe = Stripe::default();
        let held = stripe.hold_briefly();
        assert!(held.is_some());
        assert!(stripe.hold_briefly().is_none());
        assert!(!stripe.try_lock(), "the first guard still holds it");
        drop(held);
        assert!(stripe.try_lock());
    }

    #[test]
    fn threads_exclude_each_other() {
        let stripe = Stripe::default();
        let mut count = 0u64;
        let shared = ptr::from_mut(&mut count) as usize;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        stripe.lock_patiently();
                        // SAFETY: the lock is what is being tested.
                        unsafe { *(shared as *mut u64) += 1 };
                        stripe.unlock();
                    }
                });
            }
        });
        assert_eq!(count, 40_000);
    }
}
