//! A stripe: 64 contiguous slots under one lock, with a queue of tickets for those who found it taken.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use swell_ring::{SLOTS, Slot};

use crate::effect::Observers;
use crate::gate::Gate;
use crate::key::{DATABASES, Db, all_dbs};
use crate::table::Table;
use crate::waiters::{Queues, Waiters};

/// Slots of one stripe.
pub const STRIPE_SLOTS: usize = 64;
/// Stripes of an engine.
pub const STRIPES: usize = SLOTS / STRIPE_SLOTS;
/// How often a taken stripe is looked at before its worker turns to something else: 4 to 10 µs. A command holds its
/// lock for less than one, so that a lock that is still taken then belongs to a thread that does not run.
const SPINS: u32 = 200;
/// How often whoever waits patiently lets others run before it sleeps between its looks.
const YIELDS: u32 = 1_000;
/// For how long it does.
const NAP: Duration = Duration::from_micros(100);
/// How many newcomers may take a free lock before the head of its queue does. From its first try on the head lets
/// nobody pass; this is for the time until its worker comes round to it, 1 to 2 ms of a hot key's traffic.
pub const BARGES_MAX: u32 = 4096;

/// No ticket, not locked: nothing is set.
const FREE: u32 = 0;
const LOCKED: u32 = 1;
/// There are tickets.
const WAITING: u32 = 2;
/// The head of the queue is to be woken by whoever unlocks next. Not set while it is on its way.
const CALL: u32 = 4;
/// The head of the queue has come and found the lock taken: no newcomer passes it any more.
const CLOSED: u32 = 8;
/// One newcomer that has passed the head; the bits from here on count them.
const BARGE: u32 = 16;

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

    /// Who waits for keys of this stripe, if somebody does.
    pub(crate) fn queues(&mut self) -> Option<&mut Queues> {
        self.observer.as_mut()?.queues.as_mut()
    }

    /// The same for one more.
    pub(crate) fn queues_or_new(&mut self, common: &Arc<Waiters>) -> &mut Queues {
        self.observer.get_or_insert_default().queues.get_or_insert_with(|| Queues::new(common.clone()))
    }

    /// Where nobody waits any more and nobody follows, an effect costs nothing again.
    pub(crate) fn tidy(&mut self) {
        let Some(observers) = &mut self.observer else { return };
        if observers.queues.as_ref().is_some_and(Queues::is_empty) {
            observers.queues = None;
        }
        if observers.is_empty() {
            self.observer = None;
        }
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
        self.change(FREE, LOCKED)
    }

    /// Takes the lock, spinning briefly. A free lock is taken also where others queue for it, but only
    /// [`BARGES_MAX`] times for each of them, and not once the head of the queue has come: a lock that waits for a
    /// thread to wake up serves nobody.
    #[inline]
    pub fn lock_briefly(&self) -> bool {
        self.try_lock() || self.contend()
    }

    #[cold]
    fn contend(&self) -> bool {
        for _ in 0..SPINS {
            let state = self.state.load(Ordering::Relaxed);
            if let Some(taken) = taken_by_newcomer(state)
                && self.change(state, taken)
            {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// Takes the lock, waiting as long as it takes and passing those who queue: for upkeep and tools, never for a
    /// worker's requests.
    pub fn lock_patiently(&self) {
        for tries in 0_u32.. {
            let state = self.state.load(Ordering::Relaxed);
            if state & LOCKED == 0 && self.change(state, state | LOCKED) {
                return;
            }
            match tries {
                ..YIELDS => std::thread::yield_now(),
                // A helper thread has it, and wants the core.
                _ => std::thread::sleep(NAP),
            }
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

    /// Takes the lock for the holder of a ticket; the ticket is used up when this succeeds. If it is the head of the
    /// queue and the lock is taken, nobody passes it any more, and it is woken by whoever unlocks: once its worker has
    /// come round to it, the head waits for one holder only.
    pub fn lock_with(&self, ticket: Ticket) -> bool {
        self.spin_while_locked();
        let mut waiting = self.waiting();
        if !waiting.is_head(ticket) {
            return false;
        }
        let rest = if waiting.tickets.len() > 1 { WAITING | CALL } else { FREE };
        loop {
            let state = self.state.load(Ordering::Relaxed);
            if state & LOCKED == 0 {
                if self.change(state, LOCKED | rest) {
                    waiting.tickets.pop_front();
                    return true;
                }
            } else if self.change(state, state | CALL | CLOSED) {
                return false;
            }
        }
    }

    fn spin_while_locked(&self) {
        for _ in 0..SPINS {
            if self.state.load(Ordering::Relaxed) & LOCKED == 0 {
                return;
            }
            std::hint::spin_loop();
        }
    }

    /// Gives the lock back and wakes the head of the queue, unless it is on its way.
    #[inline]
    pub fn unlock(&self) {
        let before = self.state.fetch_sub(LOCKED, Ordering::Release);
        debug_assert!(before & LOCKED != 0);
        if before & CALL != 0 {
            self.call_head();
        }
    }

    /// Wakes the head of the queue if nobody has done so since it came to the head or was last turned away.
    #[cold]
    fn call_head(&self) {
        let waiting = self.waiting();
        if self.state.fetch_and(!CALL, Ordering::Relaxed) & CALL == 0 {
            return;
        }
        let waker = waiting.tickets.front().map(|(_, waker)| waker.clone());
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes all who wait for the lock, though it is not free: there is something to tell them.
    pub fn wake_all(&self) {
        let waiting = self.waiting();
        let wakers: Vec<Waker> = waiting.tickets.iter().map(|(_, waker)| waker.clone()).collect();
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Draws a ticket: `waker` is woken when it is this ticket's turn (at once, if the lock is free by now).
    pub fn draw(&self, index: usize, waker: &Waker) -> Ticket {
        let mut waiting = self.waiting();
        let ticket = Ticket { stripe: index as u16, number: waiting.next };
        waiting.next += 1;
        waiting.tickets.push_back((ticket.number, waker.clone()));
        let is_first = waiting.tickets.len() == 1;
        let before = if is_first { self.state.fetch_or(WAITING | CALL, Ordering::Relaxed) } else { LOCKED };
        drop(waiting);
        if before & LOCKED == 0 {
            self.call_head();
        }
        ticket
    }

    /// Whether a ticket is still good: neither used up nor given up.
    pub fn is_queued(&self, ticket: Ticket) -> bool {
        self.waiting().tickets.binary_search_by_key(&ticket.number, |(number, _)| *number).is_ok()
    }

    /// Gives a ticket up (its connection has gone) and passes the turn on. Does nothing for one that is used up.
    pub fn cancel(&self, ticket: Ticket) {
        let mut waiting = self.waiting();
        let Ok(at) = waiting.tickets.binary_search_by_key(&ticket.number, |(number, _)| *number) else { return };
        waiting.tickets.remove(at);
        if at > 0 {
            return;
        }
        let rest = if waiting.tickets.is_empty() { FREE } else { WAITING | CALL };
        let mut state = self.state.load(Ordering::Relaxed);
        while !self.change(state, (state & LOCKED) | rest) {
            state = self.state.load(Ordering::Relaxed);
        }
        drop(waiting);
        if state & LOCKED == 0 {
            self.call_head();
        }
    }

    /// Changes the lock's word if it still is what it was.
    #[inline]
    fn change(&self, from: u32, to: u32) -> bool {
        self.state.compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_ok()
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
        if !gate.counts()
            && let Some(observers) = &mut data.observer
        {
            observers.watched.left(slot);
            observers.tracked.left(slot);
        }
        let refused = match data.queues() {
            Some(queues) if !gate.counts() => queues.refuse(slot),
            _ => Vec::new(),
        };
        drop(held);
        let wakers = std::mem::take(&mut self.waiting().gates);
        wakers.into_iter().chain(refused).for_each(Waker::wake);
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

impl Waiting {
    fn is_head(&self, ticket: Ticket) -> bool {
        self.tickets.front().is_some_and(|(number, _)| *number == ticket.number)
    }
}

/// The lock's word once a newcomer has taken it, if one may.
#[inline]
fn taken_by_newcomer(state: u32) -> Option<u32> {
    match state {
        FREE => Some(LOCKED),
        closed if closed & (LOCKED | CLOSED) != 0 => None,
        queued => (queued / BARGE < BARGES_MAX).then_some(queued + BARGE + LOCKED),
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
mod tests;
