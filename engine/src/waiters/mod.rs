//! Who waits for a key to have something (BLPOP and its like): for each stripe the keys with their queues. A stripe where
//! nobody waits has none of this; an effect then costs the same comparison with null as ever.

mod serve;
mod waiter;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use swell_ring::Slot;
use swell_wire::Args;

use crate::effect::Effect;
use crate::gate::Refusal;
use crate::key::{Db, Key};
use crate::run::LockSet;
use crate::stripe::stripe_of;
use crate::value::Kind;

pub use waiter::{GaveUp, UNBLOCKED, Waiter, write_unserved};
pub(crate) use waiter::{Wait, Waiting};

/// A waiter's place in every queue that it is in: since when it waits (unix microseconds, no two the same
/// in one process), then the order of coming.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    pub since_us: u64,
    pub number: u64,
}

/// What all waiters of an engine have in common.
#[derive(Debug, Default)]
pub struct Waiters {
    next_number: AtomicU64,
    last_since_us: AtomicU64,
    keys: AtomicU64,
    keys_on_missing: AtomicU64,
    gone: Gone,
}

/// Waiters that are not wanted any more and could not be taken out of their queues at once.
#[derive(Debug, Default)]
struct Gone {
    waiters: Mutex<Vec<Arc<Waiter>>>,
    count: AtomicU64,
}

/// The queues of one stripe.
#[derive(Debug)]
pub struct Queues {
    keys: HashMap<Box<[u8]>, Vec<Queue>>,
    common: Arc<Waiters>,
    /// Whether the key that is being changed had an entry before.
    existed: bool,
}

/// Who waits for one key.
#[derive(Debug)]
struct Queue {
    /// Where its database lives.
    db: Db,
    slot: Slot,
    waiters: BTreeMap<Order, Arc<Waiter>>,
    /// How many of them want a list, a sorted set, a stream.
    wanted: [u32; 3],
    /// How many want to know that the key has gone, or is something else.
    on_missing: u32,
    /// It is among those to be served.
    is_ready: bool,
}

/// A key that somebody waits for, and that may have something for him.
#[derive(Debug)]
pub struct Ready {
    db: Db,
    hash: u64,
    slot: Slot,
    key: Box<[u8]>,
    now_ms: u64,
    /// The stripes that whoever comes next needs.
    needs: LockSet,
    /// All up to this one have been looked at.
    after: Option<Order>,
}

impl Waiters {
    /// Keys that somebody waits for.
    pub fn keys(&self) -> u64 {
        self.keys.load(Relaxed)
    }

    /// Keys of which somebody wants to know when they go.
    pub fn keys_on_missing(&self) -> u64 {
        self.keys_on_missing.load(Relaxed)
    }

    /// The place of one who comes now, or who has waited since `since_us` elsewhere.
    pub(crate) fn place(&self, since_us: u64, now_ms: u64) -> Order {
        let since_us = match since_us {
            0 => self.begin(now_ms),
            earlier => earlier,
        };
        Order { since_us, number: self.next_number.fetch_add(1, Relaxed) }
    }

    /// Since when somebody waits who begins now, unix microseconds: later than all who have begun before, as they keep their
    /// order where they go together. Clocks that go back change no order.
    pub fn begin(&self, now_ms: u64) -> u64 {
        let after = |last: u64| last.saturating_add(1).max(now_ms.saturating_mul(1_000));
        let last = self.last_since_us.fetch_update(Relaxed, Relaxed, |last| Some(after(last)));
        after(last.unwrap_or_else(|last| last))
    }

    /// Somebody else will take it out of its queues.
    fn leave(&self, waiter: Arc<Waiter>) {
        self.gone.waiters.lock().unwrap_or_else(PoisonError::into_inner).push(waiter);
        self.gone.count.fetch_add(1, Relaxed);
    }

    fn take_gone(&self) -> Vec<Arc<Waiter>> {
        if self.gone.count.load(Relaxed) == 0 {
            return Vec::new();
        }
        let gone = std::mem::take(&mut *self.gone.waiters.lock().unwrap_or_else(PoisonError::into_inner));
        self.gone.count.fetch_sub(gone.len() as u64, Relaxed);
        gone
    }
}

impl Queues {
    pub(crate) fn new(common: Arc<Waiters>) -> Queues {
        Queues { keys: HashMap::new(), common, existed: false }
    }

    /// Whether nobody waits here.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// An entry is about to change, or to come.
    pub(crate) fn note_before(&mut self, exists: bool) {
        self.existed = exists;
    }

    /// An entry has changed, by this command: its key is ready for those who wait, if it may be what they wait for. As in
    /// Valkey that is so where a key has come: one that was something else, and is overwritten, serves nobody.
    pub(crate) fn note(&mut self, key: Key<'_>, effect: &Effect<'_>, by: Args<'_>, now_ms: u64) -> Option<Ready> {
        let kind = match effect {
            Effect::Put(entry) | Effect::Argv(_, entry) => Some(entry.kind()),
            Effect::Delete => None,
            Effect::ExpireAt(_) => return None,
        };
        let queue = find_mut(self.keys.get_mut(key.bytes)?, key.db)?;
        let is_new = !self.existed || makes_anew(by);
        let serves = match kind {
            Some(Kind::Stream) if !is_new => queue.wants(kind) && wakes_readers(by),
            _ if is_new => queue.wants(kind),
            _ => queue.on_missing > 0,
        };
        if queue.is_ready || !serves {
            return None;
        }
        queue.is_ready = true;
        Some(Ready::new(key, now_ms))
    }

    /// All keys of a slot's database are gone: those of which somebody wants to know that. `hash` is the keys' hash.
    pub(crate) fn note_cleared(&mut self, slot: Slot, db: Db, now_ms: u64, hash: impl Fn(&[u8]) -> u64) -> Vec<Ready> {
        self.note_all(|queue| queue.slot == slot && queue.db == db && queue.on_missing > 0, now_ms, hash)
    }

    /// Two databases have changed their places: who waits for a key of the one does so for that of the other now.
    pub(crate) fn swap_db(&mut self, one: Db, other: Db, now_ms: u64, hash: impl Fn(&[u8]) -> u64) -> Vec<Ready> {
        for queue in self.keys.values_mut().flatten() {
            queue.db = match queue.db {
                db if db == one => other,
                db if db == other => one,
                _ => continue,
            };
            // What was noted by its old name leads to the other's queue.
            queue.is_ready = false;
        }
        self.note_all(|queue| queue.db == one || queue.db == other, now_ms, hash)
    }

    fn note_all(&mut self, is_meant: impl Fn(&Queue) -> bool, now_ms: u64, hash: impl Fn(&[u8]) -> u64) -> Vec<Ready> {
        let mut ready = Vec::new();
        for (bytes, queues) in &mut self.keys {
            for queue in queues.iter_mut().filter(|queue| !queue.is_ready && is_meant(queue)) {
                queue.is_ready = true;
                ready.push(Ready::new(Key { bytes, hash: hash(bytes), slot: queue.slot, db: queue.db }, now_ms));
            }
        }
        ready
    }

    /// One more waits for a key. Once for each key, however often it names it.
    pub(crate) fn add(&mut self, key: Key<'_>, waiter: &Arc<Waiter>) {
        let queues = match self.keys.get_mut(key.bytes) {
            Some(queues) => queues,
            None => self.keys.entry(key.bytes.into()).or_default(),
        };
        let at = queues.iter().position(|queue| queue.db == key.db).unwrap_or_else(|| {
            self.common.keys.fetch_add(1, Relaxed);
            queues.push(Queue::new(key));
            queues.len() - 1
        });
        let queue = &mut queues[at];
        let had_missing = queue.on_missing > 0;
        queue.add(waiter);
        if !had_missing && queue.on_missing > 0 {
            self.common.keys_on_missing.fetch_add(1, Relaxed);
        }
    }

    /// One does not wait for a key any more, in whatever database that is by now.
    pub(crate) fn remove(&mut self, key: &[u8], waiter: &Waiter) {
        let Some(queues) = self.keys.get_mut(key) else { return };
        let Some(at) = queues.iter().position(|queue| queue.waiters.contains_key(&waiter.order)) else { return };
        let had_missing = queues[at].on_missing > 0;
        queues[at].remove(waiter);
        if had_missing && queues[at].on_missing == 0 {
            self.common.keys_on_missing.fetch_sub(1, Relaxed);
        }
        if queues[at].waiters.is_empty() {
            self.common.keys.fetch_sub(1, Relaxed);
            queues.swap_remove(at);
            if queues.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    /// Nobody is served at this slot any more: who waits for a key of it has to go elsewhere. Returns whom to wake.
    pub(crate) fn refuse(&self, slot: Slot) -> Vec<Waker> {
        self.refuse_if(|queue| queue.slot == slot, Refusal::Moved)
    }

    /// All who wait here have to begin anew, each in its place. Returns whom to wake.
    pub(crate) fn begin_anew(&self) -> Vec<Waker> {
        self.refuse_if(|_| true, Refusal::Paused)
    }

    /// Each takes itself out of its queues when it comes round to it.
    fn refuse_if(&self, is_meant: impl Fn(&Queue) -> bool, refusal: Refusal) -> Vec<Waker> {
        let queues = self.keys.values().flatten().filter(|queue| is_meant(queue));
        let refuse = |queue: &Queue| {
            let stripe = stripe_of(queue.slot);
            queue.waiters.values().filter_map(|waiter| waiter.refuse(refusal, stripe)).collect::<Vec<_>>()
        };
        queues.flat_map(refuse).collect()
    }

    /// The key is being served: what changes it from now on makes it ready anew.
    fn begin(&mut self, ready: &Ready) {
        if let Some(queue) = self.queue(ready) {
            queue.is_ready = false;
        }
    }

    /// The next in the queue after the one that was looked at last, and whether he may be in luck with a key like this.
    fn next(&mut self, ready: &Ready, kind: Option<Kind>) -> Option<(Arc<Waiter>, bool)> {
        let queue = self.queue(ready)?;
        if !queue.wants(kind) {
            return None;
        }
        let after = ready.after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let (_, waiter) = queue.waiters.range((after, std::ops::Bound::Unbounded)).next()?;
        Some((waiter.clone(), waiter.on_missing || Some(waiter.kind) == kind))
    }

    fn queue(&mut self, ready: &Ready) -> Option<&mut Queue> {
        find_mut(self.keys.get_mut(&ready.key)?, ready.db)
    }
}

impl Queue {
    fn new(key: Key<'_>) -> Queue {
        let (waiters, wanted) = (BTreeMap::new(), [0; 3]);
        Queue { db: key.db, slot: key.slot, waiters, wanted, on_missing: 0, is_ready: false }
    }

    fn wants(&self, kind: Option<Kind>) -> bool {
        self.on_missing > 0 || kind.and_then(place_of).is_some_and(|at| self.wanted[at] > 0)
    }

    fn add(&mut self, waiter: &Arc<Waiter>) {
        if self.waiters.insert(waiter.order, waiter.clone()).is_none() {
            place_of(waiter.kind).into_iter().for_each(|at| self.wanted[at] += 1);
            self.on_missing += u32::from(waiter.on_missing);
        }
    }

    fn remove(&mut self, waiter: &Waiter) {
        if self.waiters.remove(&waiter.order).is_some() {
            place_of(waiter.kind).into_iter().for_each(|at| self.wanted[at] -= 1);
            self.on_missing -= u32::from(waiter.on_missing);
        }
    }
}

impl Ready {
    fn new(key: Key<'_>, now_ms: u64) -> Ready {
        let Key { db, hash, slot, bytes } = key;
        Ready { db, hash, slot, key: bytes.into(), now_ms, needs: LockSet::one(stripe_of(slot)), after: None }
    }

    /// Something that differs from errand to errand.
    pub(crate) fn seed(&self) -> u64 {
        self.hash ^ self.now_ms
    }

    fn key(&self) -> Key<'_> {
        Key { bytes: &self.key, hash: self.hash, slot: self.slot, db: self.db }
    }
}

fn find_mut(queues: &mut [Queue], db: Db) -> Option<&mut Queue> {
    queues.iter_mut().find(|queue| queue.db == db)
}

/// Where a type is counted that somebody may wait for.
fn place_of(kind: Kind) -> Option<usize> {
    match kind {
        Kind::List => Some(0),
        Kind::ZSet => Some(1),
        Kind::Stream => Some(2),
        Kind::String | Kind::Hash | Kind::Set => None,
    }
}

/// Whether a command takes away what a key had before it gives it something.
fn makes_anew(by: Args<'_>) -> bool {
    const MAKING: [&str; 5] = ["rename", "renamenx", "copy", "move", "restore"];
    by.opt(0).is_some_and(|arg| MAKING.iter().any(|name| arg.eq_ignore_ascii_case(name.as_bytes())))
}

/// Whether a command that has changed a stream has anything for those who wait for it: the others tell nothing new, or would
/// have each reader wake the next.
fn wakes_readers(by: Args<'_>) -> bool {
    let is = |at: usize, word: &str| by.opt(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    is(0, "xadd") || is(0, "xgroup") && is(1, "destroy")
}
