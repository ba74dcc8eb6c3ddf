//! Client-side caching (CLIENT TRACKING): who keeps copies of which keys, and has to be told when they change.
//!
//! A stripe knows who has read its keys. A read is noted under the same lock under which it ran, so that no change falls
//! between the two; a change tells the readers and forgets the key, which the next read names again. As in Valkey a key
//! is a name: its database does not matter.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use swell_ring::Slot;

use crate::engine::Engine;
use crate::exec::Call;
use crate::spec::Flags;
use crate::stripe::{STRIPES, stripe_of};

/// Keys of which copies are known, at most, until somebody says otherwise (Valkey's `tracking-table-max-keys`).
pub const TRACKED_KEYS_MAX: u64 = 1_000_000;
/// Readers of one key, over which it is declared stale: those who have left are known until then.
const READERS_MAX: usize = 65_536;

/// A client that keeps copies, by a number of its process's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracker {
    /// 0: it keeps none.
    pub id: u64,
    /// What it reads now is to be remembered.
    pub remembers: bool,
}

/// What those who keep copies have to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale<'a> {
    /// A key of which these clients have read a copy, each named once. `by`: whose request has changed it.
    Read { key: &'a [u8], readers: &'a [u64], by: u64 },
    /// Any key that has changed, while somebody wants to know of all ([`Engine::set_broadcast`]).
    Any { key: &'a [u8], by: u64 },
    /// Databases were emptied: everything.
    All,
}

/// Is told of what is stale, under stripes' locks: must be quick and must not call the engine.
pub type TellStale = Box<dyn Fn(Stale<'_>) + Send + Sync>;

/// What the stripes of one engine share.
#[derive(Default)]
pub(crate) struct Tracking {
    tell: OnceLock<TellStale>,
    keys: AtomicI64,
    keys_max: AtomicU64,
}

/// Who has read the keys of one stripe.
#[derive(Default)]
pub(crate) struct Tracked {
    keys: HashMap<Box<[u8]>, Copies>,
    broadcasts: bool,
    shared: Option<Arc<Tracking>>,
}

struct Copies {
    slot: Slot,
    readers: Vec<u64>,
}

impl fmt::Debug for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracking").field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Engine {
    /// From now on this is told what is stale. Only the first call counts.
    pub fn tell_stale(&self, tell: TellStale) {
        let _ = self.tracking().tell.set(tell);
    }

    /// Whether every change of a key is told from now on.
    ///
    /// # Errors
    /// This stripe is taken: to be tried again.
    pub fn set_broadcast(&self, broadcasts: bool) -> Result<(), usize> {
        for index in 0..STRIPES {
            let stripe = self.stripe(index);
            let _held = stripe.hold_briefly().ok_or(index)?;
            // SAFETY: the lock is held.
            unsafe { self.broadcast_at(index, broadcasts) };
        }
        Ok(())
    }

    /// The same for one stripe.
    ///
    /// # Safety
    /// Its lock is held.
    pub(crate) unsafe fn broadcast_at(&self, index: usize, broadcasts: bool) {
        // SAFETY: the caller holds the lock.
        let observers = &mut unsafe { self.stripe(index).data() }.observer;
        if observers.is_none() && !broadcasts {
            return;
        }
        let following = observers.get_or_insert_default();
        following.tracked.broadcasts = broadcasts;
        following.tracked.shared = Some(self.tracking().clone());
        if following.is_empty() {
            *observers = None;
        }
    }

    /// Keys of which somebody has a copy.
    pub fn tracked_keys(&self) -> u64 {
        self.tracking().keys.load(Relaxed).max(0) as u64
    }

    /// Above so many keys others are declared stale; 0: no limit.
    pub fn set_tracked_keys_max(&self, keys: u64) {
        self.tracking().keys_max.store(keys, Relaxed);
    }

    /// The same as it is.
    pub fn tracked_keys_max(&self) -> u64 {
        self.tracking().keys_max.load(Relaxed)
    }

    /// Databases were emptied: all copies are stale, of whichever database, as in Valkey. `locked`: all stripes are. What a
    /// stripe that is taken at the moment knows is told once more when it changes.
    pub(crate) fn tell_flushed(&self, locked: bool) {
        for index in (0..STRIPES).filter(|_| self.tracked_keys() > 0) {
            let stripe = self.stripe(index);
            let held = if locked { None } else { stripe.hold_briefly() };
            if !locked && held.is_none() {
                continue;
            }
            // SAFETY: the lock is held, here or by the caller.
            let observers = &mut unsafe { stripe.data() }.observer;
            if let Some(following) = observers {
                following.tracked.clear();
                if following.is_empty() {
                    *observers = None;
                }
            }
        }
        self.tracking().tell(Stale::All);
    }

    /// A client has read the keys of this call. Their stripes are locked.
    #[cold]
    pub(crate) fn remember(&self, call: &Call<'_>) {
        if !call.spec.flags.has(Flags::READONLY) {
            return;
        }
        for key in call.keys {
            // SAFETY: the caller holds the lock.
            let following = unsafe { self.stripe(stripe_of(key.slot)).data() }.observer.get_or_insert_default();
            let shared = following.tracked.shared.get_or_insert_with(|| self.tracking().clone()).clone();
            let added = following.tracked.add(key.slot, call.args.slice(key.arg as usize), call.context.tracker.id);
            let keys = shared.keys.fetch_add(i64::from(added), Relaxed) + i64::from(added);
            let max = shared.keys_max.load(Relaxed);
            if max != 0 && keys > max as i64 {
                following.tracked.make_room();
            }
        }
    }
}

impl Tracking {
    /// With Valkey's limit.
    pub fn new() -> Tracking {
        Tracking { keys_max: AtomicU64::new(TRACKED_KEYS_MAX), ..Tracking::default() }
    }

    /// Tells whoever is to be told.
    pub fn tell(&self, stale: Stale<'_>) {
        if let Some(tell) = self.tell.get() {
            tell(stale);
        }
    }
}

impl Tracked {
    /// Whether nobody has to be told anything.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.broadcasts
    }

    /// Says whether the key is new here.
    fn add(&mut self, slot: Slot, key: &[u8], reader: u64) -> bool {
        match self.keys.get_mut(key) {
            Some(copies) if copies.readers.contains(&reader) => false,
            Some(copies) if copies.readers.len() < READERS_MAX => {
                copies.readers.push(reader);
                false
            }
            Some(_) => {
                self.forget(key, 0);
                self.add(slot, key, reader)
            }
            None => self.keys.insert(key.into(), Copies { slot, readers: vec![reader] }).is_none(),
        }
    }

    /// Declares some key stale.
    fn make_room(&mut self) {
        let Some(key) = self.keys.keys().next().cloned() else { return };
        self.forget(&key, 0);
    }

    /// A key has changed; `by` whose request.
    pub fn changed(&mut self, key: &[u8], by: u64) {
        if self.broadcasts
            && let Some(shared) = &self.shared
        {
            shared.tell(Stale::Any { key, by });
        }
        if !self.keys.is_empty() {
            self.forget(key, by);
        }
    }

    fn forget(&mut self, key: &[u8], by: u64) {
        let Some(copies) = self.keys.remove(key) else { return };
        if let Some(shared) = &self.shared {
            shared.keys.fetch_sub(1, Relaxed);
            shared.tell(Stale::Read { key, readers: &copies.readers, by });
        }
    }

    /// Everybody is told that everything is stale, so nobody needs to hear of single keys.
    fn clear(&mut self) {
        if let Some(shared) = &self.shared {
            shared.keys.fetch_sub(self.keys.len() as i64, Relaxed);
        }
        self.keys = HashMap::new();
    }

    /// A slot is served elsewhere from now on, where nobody knows who has copies.
    pub fn left(&mut self, slot: Slot) {
        let Some(shared) = &self.shared else { return };
        self.keys.retain(|key, copies| {
            if copies.slot != slot {
                return true;
            }
            shared.keys.fetch_sub(1, Relaxed);
            shared.tell(Stale::Read { key, readers: &copies.readers, by: 0 });
            false
        });
    }
}

#[cfg(test)]
mod tests;
