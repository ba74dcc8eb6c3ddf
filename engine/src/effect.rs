//! What a change of an entry was, for those who follow a stripe: streams, waiters, WATCH, tracking, notifications.
//!
//! Every change goes through `before` and then `after` under the stripe's lock; where nobody follows, both cost one
//! comparison with null.

use swell_ring::Slot;
use swell_wire::OwnedArgs;

use crate::entry::Entry;
use crate::key::Db;
use crate::track::Tracked;
use crate::waiters::Queues;
use crate::watch::Watched;

/// What one change did to one key. Self-contained: replaying the effects of a slot in order rebuilds it.
#[derive(Clone, Debug)]
pub enum Effect<'a> {
    /// The key now has this entry (value, expiry, fields): the reader takes what it needs.
    Put(Entry<'a>),
    /// The key is gone: deleted, expired, evicted or flushed.
    Delete,
    /// Only the expiry changed; nothing means that it no longer expires. Unix milliseconds.
    ExpireAt(Option<u64>),
    /// The result of this canonical command on that one key (large values changed in place), and the entry as it is
    /// now, for the fields that the command does not tell: its memcached unique, its clock.
    Argv(OwnedArgs, Entry<'a>),
}

/// Follows the changes of one stripe. Called under the stripe's lock: must be quick and must not call the engine.
pub trait Observer: Send {
    /// The key is about to change; `entry` is what it is now.
    fn before(&mut self, slot: Slot, db: Db, key: &[u8], entry: Option<Entry<'_>>);
    /// The key has changed.
    fn after(&mut self, slot: Slot, db: Db, key: &[u8], effect: &Effect<'_>);
    /// Every key of the slot in this database is gone at once (FLUSHALL): neither `before` nor `after` is called for
    /// them, so that emptying a slot takes a moment however many keys it has.
    fn cleared(&mut self, slot: Slot, db: Db);
    /// The changes up to `unit_end` belong together.
    fn unit_begin(&mut self);
    /// See `unit_begin`.
    fn unit_end(&mut self);
}

/// Names one who follows; never used twice in an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObserverId(pub(crate) u64);

/// All who follow one stripe, and all who wait for its keys.
#[derive(Default)]
pub struct Observers {
    streams: Vec<(ObserverId, Box<dyn Observer>)>,
    pub(crate) watched: Watched,
    pub(crate) tracked: Tracked,
    /// Who waits for what is not there; looked at by `Exec`, beside the followers.
    pub(crate) queues: Option<Queues>,
}

impl Observers {
    /// One more follows.
    pub fn add(&mut self, id: ObserverId, observer: Box<dyn Observer>) {
        self.streams.push((id, observer));
    }

    /// One follows no longer.
    pub fn remove(&mut self, id: ObserverId) {
        self.streams.retain(|(other, _)| *other != id);
    }

    /// Whether nobody follows and nobody waits.
    pub fn is_empty(&self) -> bool {
        !self.are_told() && self.queues.is_none()
    }

    /// Whether somebody wants to be told of changes.
    pub fn are_told(&self) -> bool {
        !(self.streams.is_empty() && self.watched.is_empty() && self.tracked.is_empty())
    }

    pub(crate) fn before(&mut self, slot: Slot, db: Db, key: &[u8], entry: Option<Entry<'_>>) {
        self.each(|observer| observer.before(slot, db, key, entry));
    }

    pub(crate) fn after(&mut self, slot: Slot, db: Db, key: &[u8], effect: &Effect<'_>) {
        self.each(|observer| observer.after(slot, db, key, effect));
    }

    /// A change that those who watch or keep copies have to know of. `by`: the [`Tracker`](crate::track::Tracker) whose
    /// request it was, or 0.
    pub(crate) fn touched(&mut self, db: Db, key: &[u8], effect: &Effect<'_>, by: u64) {
        if !self.watched.is_empty() {
            self.watched.changed(db, key, effect);
        }
        if !self.tracked.is_empty() {
            self.tracked.changed(key, by);
        }
    }

    pub(crate) fn cleared(&mut self, slot: Slot, db: Db) {
        self.each(|observer| observer.cleared(slot, db));
        self.watched.cleared(slot, db);
    }

    pub(crate) fn unit_begin(&mut self) {
        self.each(|observer| observer.unit_begin());
    }

    pub(crate) fn unit_end(&mut self) {
        self.each(|observer| observer.unit_end());
    }

    fn each(&mut self, mut tell: impl FnMut(&mut dyn Observer)) {
        self.streams.iter_mut().for_each(|(_, observer)| tell(observer.as_mut()));
    }
}
