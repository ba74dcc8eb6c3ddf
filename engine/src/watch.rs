//! WATCH: keys whose change makes a later transaction fail.
//!
//! A stripe knows who watches its keys; whatever changes one of them, by a command, by expiry, eviction, a flush or the
//! slot's leaving, says so in a flag that all keys of one watcher share. EXEC looks at the flag once it holds its locks:
//! what changes a watched key afterwards comes after the transaction.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use swell_ring::Slot;

use crate::effect::{Effect, Observers};
use crate::engine::Engine;
use crate::entry::EntryPtr;
use crate::gate::Refusal;
use crate::key::{Db, Key, KeyHash};
use crate::run::{LockSet, Outcome};
use crate::stripe::{STRIPES, Ticket, stripe_of};

/// What one client watches.
pub struct Watching {
    flag: Arc<Flag>,
    keys: Vec<Named>,
    bytes: usize,
    /// Where its keys are forgotten if nobody does before it goes.
    abandoned: Arc<Abandoned>,
}

/// Whether a watched key has changed.
#[derive(Debug, Default)]
struct Flag {
    changed: AtomicBool,
}

/// A key as its watcher named it.
#[derive(Clone, Debug)]
struct Named {
    slot: Slot,
    hash: u64,
    /// The client's number of the database.
    db: Db,
    bytes: Box<[u8]>,
}

/// Keys whose watchers have gone without having been able to lock their stripes.
#[derive(Debug, Default)]
pub(crate) struct Abandoned {
    keys: Mutex<Vec<(Named, Arc<Flag>)>>,
}

/// Who watches the keys of one stripe.
#[derive(Default)]
pub(crate) struct Watched {
    keys: HashMap<Box<[u8]>, Vec<Watcher>>,
}

struct Watcher {
    slot: Slot,
    hash: u64,
    /// Where its database lives.
    db: Db,
    presence: Presence,
    flag: Arc<Flag>,
}

/// What there is of a key. Changes that leave it as it is are none: an expired key that goes away, a missing one in a
/// database that is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Missing,
    Live,
    Expired,
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching").field("keys", &self.keys.len()).field("flag", &self.flag).finish_non_exhaustive()
    }
}

impl Watching {
    /// How many keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none is watched.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Bytes of the keys.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The slot of the first key.
    pub fn slot(&self) -> Option<Slot> {
        self.keys.first().map(|key| key.slot)
    }

    /// Whether a key has changed, as of a moment ago.
    pub fn has_changed(&self) -> bool {
        self.flag.changed.load(Ordering::Acquire)
    }

    fn stripes(&self) -> LockSet {
        let mut set = LockSet::default();
        self.keys.iter().for_each(|key| set.add(stripe_of(key.slot)));
        set
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            let flag = &self.flag;
            self.abandoned.add(self.keys.drain(..).map(|key| (key, flag.clone())));
        }
    }
}

impl Abandoned {
    fn add(&self, keys: impl Iterator<Item = (Named, Arc<Flag>)>) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
    }

    fn take(&self) -> Vec<(Named, Arc<Flag>)> {
        std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Engine {
    /// Somebody begins to watch; no key yet.
    pub fn watching(&self) -> Watching {
        Watching { flag: Arc::default(), keys: Vec::new(), bytes: 0, abandoned: self.abandoned().clone() }
    }

    /// Watches one more key in the client's database `db`. A key that is watched already is watched once.
    ///
    /// # Errors
    /// [`Outcome::Busy`], [`Outcome::NotExecuted`]: nothing has happened; to be tried again. A ticket is used up by the first
    /// key of its stripe: a second one may need another.
    pub fn watch(
        &self,
        watching: &mut Watching,
        db: Db,
        key: &[u8],
        at: KeyHash,
        now_ms: u64,
        ticket: Option<Ticket>,
    ) -> Result<(), Outcome> {
        let is_it = |named: &Named| named.db == db && *named.bytes == *key;
        if watching.keys.iter().any(is_it) {
            return Ok(());
        }
        let index = stripe_of(at.slot);
        let stripe = self.stripe(index);
        let is_locked = match ticket {
            Some(ticket) if ticket.stripe() == index => stripe.lock_with(ticket),
            _ => stripe.lock_briefly(),
        };
        if !is_locked {
            return Err(Outcome::Busy(index));
        }
        // SAFETY: the lock has just been taken.
        let _held = unsafe { stripe.adopt() };
        // SAFETY: the lock is held.
        let data = unsafe { stripe.data() };
        data.gate_of(at.slot).check(false).map_err(|refusal: Refusal| Outcome::NotExecuted(refusal, index))?;
        let place = Key { bytes: key, hash: at.hash, slot: at.slot, db: self.map_db(db) };
        let presence = self.presence(place, now_ms);
        let watcher = Watcher { slot: at.slot, hash: at.hash, db: place.db, presence, flag: watching.flag.clone() };
        data.observer.get_or_insert_default().watched.add(key, watcher);
        watching.bytes += key.len() + size_of::<Named>() + size_of::<Watcher>();
        watching.keys.push(Named { slot: at.slot, hash: at.hash, db, bytes: key.into() });
        Ok(())
    }

    /// Ends watching. What is locked by somebody at the moment is forgotten a little later.
    pub fn unwatch(&self, mut watching: Watching) {
        let flag = watching.flag.clone();
        let left: Vec<Named> = watching.keys.drain(..).filter(|key| !self.forget_watched(key, &flag)).collect();
        watching.keys = left;
    }

    /// Forgets what watchers have left behind; upkeep calls this.
    pub fn forget_abandoned(&self) {
        let keys = self.abandoned().take();
        if !keys.is_empty() {
            self.abandoned().add(keys.into_iter().filter(|(key, flag)| !self.forget_watched(key, flag)));
        }
    }

    /// Says whether it could.
    fn forget_watched(&self, key: &Named, flag: &Arc<Flag>) -> bool {
        let stripe = self.stripe(stripe_of(key.slot));
        let Some(_held) = stripe.hold_briefly() else { return false };
        // SAFETY: the lock is held.
        let observers = &mut unsafe { stripe.data() }.observer;
        forget_in(observers, key, flag);
        true
    }

    /// The stripes that a transaction on this condition locks beside its own.
    pub(crate) fn watched_stripes(&self, watching: Option<&Watching>) -> LockSet {
        watching.map(Watching::stripes).unwrap_or_default()
    }

    /// Whether a watched key has changed or expired since. The stripes of all keys are locked.
    pub(crate) fn is_stale(&self, watching: &Watching, now_ms: u64) -> bool {
        watching.has_changed() || watching.keys.iter().any(|key| self.has_expired(key, &watching.flag, now_ms))
    }

    fn has_expired(&self, key: &Named, flag: &Arc<Flag>, now_ms: u64) -> bool {
        let place = Key { bytes: &key.bytes, hash: key.hash, slot: key.slot, db: self.map_db(key.db) };
        if self.presence(place, now_ms) != Presence::Expired {
            return false;
        }
        // SAFETY: the caller holds the lock.
        let observers = &unsafe { self.stripe(stripe_of(key.slot)).data() }.observer;
        let watched = observers.as_ref().and_then(|observers| observers.watched.keys.get(&key.bytes));
        let me = watched.and_then(|watchers| watchers.iter().find(|other| Arc::ptr_eq(&other.flag, flag)));
        me.is_none_or(|me| me.presence == Presence::Live)
    }

    /// Tells those who watch that databases have changed places. `to`: where each database lives now, by where it lived.
    /// Every stripe is locked.
    pub(crate) fn tell_watchers_of_swap(&self, to: impl Fn(Db) -> Db, now_ms: u64) {
        for index in 0..STRIPES {
            // SAFETY: the caller holds every lock.
            let Some(observers) = &mut unsafe { self.stripe(index).data() }.observer else { continue };
            observers.watched.swapped(&to, |key| self.presence(key, now_ms));
        }
    }

    /// What there is of a key. Its stripe is locked.
    fn presence(&self, key: Key<'_>, now_ms: u64) -> Presence {
        // SAFETY: the caller holds the lock; the reference ends here.
        let Some(directory) = (unsafe { self.stripe(stripe_of(key.slot)).directory(key.db) }) else {
            return Presence::Missing;
        };
        let table = &directory.tables[key.slot.index() % crate::stripe::STRIPE_SLOTS];
        // SAFETY: the table's words are live entries and the stripe is locked.
        let entry = |raw| unsafe { EntryPtr::from_raw(raw) };
        match table.find(key.hash, |raw| entry(raw).is_key(key.bytes)) {
            None => Presence::Missing,
            Some(position) => match entry(table.get(position)).expire_at_ms() {
                Some(at) if at < now_ms => Presence::Expired,
                _ => Presence::Live,
            },
        }
    }
}

fn forget_in(observers: &mut Option<Box<Observers>>, key: &Named, flag: &Arc<Flag>) {
    let Some(following) = observers else { return };
    following.watched.forget(&key.bytes, flag);
    if following.is_empty() {
        *observers = None;
    }
}

impl Watched {
    /// Whether nobody watches.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn add(&mut self, key: &[u8], watcher: Watcher) {
        match self.keys.get_mut(key) {
            Some(watchers) => watchers.push(watcher),
            None => drop(self.keys.insert(key.into(), vec![watcher])),
        }
    }

    fn forget(&mut self, key: &[u8], flag: &Arc<Flag>) {
        let Some(watchers) = self.keys.get_mut(key) else { return };
        watchers.retain(|watcher| !Arc::ptr_eq(&watcher.flag, flag));
        if watchers.is_empty() {
            self.keys.remove(key);
        }
    }

    /// A key has changed. Whoever watched it knows all there is to know, and is forgotten.
    pub fn changed(&mut self, db: Db, key: &[u8], effect: &Effect<'_>) {
        let Some(watchers) = self.keys.get_mut(key) else { return };
        watchers.retain_mut(|watcher| {
            if watcher.db != db {
                return true;
            }
            if watcher.presence == Presence::Expired && matches!(effect, Effect::Delete) {
                watcher.presence = Presence::Missing;
                return true;
            }
            watcher.tell()
        });
        if watchers.is_empty() {
            self.keys.remove(key);
        }
    }

    /// All keys of a slot in one database are gone.
    pub fn cleared(&mut self, slot: Slot, db: Db) {
        self.each(|watcher, _| match watcher.presence {
            Presence::Live if (watcher.slot, watcher.db) == (slot, db) => watcher.tell(),
            Presence::Expired if (watcher.slot, watcher.db) == (slot, db) => {
                watcher.presence = Presence::Missing;
                true
            }
            _ => true,
        });
    }

    /// A slot is no longer served here: what becomes of its keys elsewhere is not known.
    pub fn left(&mut self, slot: Slot) {
        self.each(|watcher, _| watcher.slot != slot || watcher.tell());
    }

    /// Databases have changed places; Valkey's rules for SWAPDB (`touchAllWatchedKeysInDb`).
    fn swapped(&mut self, to: impl Fn(Db) -> Db, look: impl Fn(Key<'_>) -> Presence) {
        self.each(|watcher, key| {
            let db = to(watcher.db);
            if db == watcher.db {
                return true;
            }
            let before = watcher.presence;
            watcher.db = db;
            watcher.presence = look(Key { bytes: key, hash: watcher.hash, slot: watcher.slot, db });
            match (before, watcher.presence) {
                (Presence::Missing | Presence::Expired, Presence::Missing | Presence::Expired) => true,
                _ => watcher.tell(),
            }
        });
    }

    fn each(&mut self, mut keep: impl FnMut(&mut Watcher, &[u8]) -> bool) {
        self.keys.retain(|key, watchers| {
            watchers.retain_mut(|watcher| keep(watcher, key));
            !watchers.is_empty()
        });
    }
}

impl Watcher {
    /// Tells it; it need not be kept.
    fn tell(&self) -> bool {
        self.flag.changed.store(true, Ordering::Release);
        false
    }
}

#[cfg(test)]
mod tests;
