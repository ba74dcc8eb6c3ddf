//! What a change of an entry was, for those who follow a stripe: streams, waiters, WATCH, tracking, notifications.
//!
//! Every change goes through `before` and then `after` under the stripe's lock; where nobody follows, both cost one
//! comparison with null.

use swell_ring::Slot;
use swell_wire::OwnedArgs;

use crate::entry::Entry;
use crate::key::Db;

/// What one change did to one key. Self-contained: replaying the effects of a slot in order rebuilds it.
#[derive(Clone, Debug)]
pub enum Effect<'a> {
    /// The key now has this entry (value, expiry, fields): the reader takes what it needs.
    Put(Entry<'a>),
    /// The key is gone: deleted, expired, evicted or flushed.
    Delete,
    /// Only the expiry changed; nothing means that it no longer expires. Unix milliseconds.
    ExpireAt(Option<u64>),
    /// The result of this canonical command on that one key (large values changed in place).
    Argv(OwnedArgs),
}

/// Follows the changes of one stripe. Called under the stripe's lock: must be quick and must not call the engine.
pub trait Observer: Send {
    /// The key is about to change; `entry` is what it is now.
    fn before(&mut self, slot: Slot, db: Db, key: &[u8], entry: Option<Entry<'_>>);
    /// The key has changed.
    fn after(&mut self, slot: Slot, db: Db, key: &[u8], effect: Effect<'_>);
    /// The changes up to `unit_end` belong together.
    fn unit_begin(&mut self);
    /// See `unit_begin`.
    fn unit_end(&mut self);
}
