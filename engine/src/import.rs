//! How the content of slots leaves an engine and comes into another: entries with all their fields, effects replayed,
//! slots dropped. For the stream of slots; everything here holds the lock of one stripe.

use swell_ring::Slot;
use swell_wire::{Args, Out};

use crate::commands::table::{Found, tables};

use crate::engine::{Engine, Local};
use crate::entry::{Entry, EntryPtr, Fields, NewValue};
use crate::exec::{Exec, hash_of};
use crate::gate::Gate;
use crate::key::{Db, Key, KeyHash, all_dbs};
use crate::spec::{Group, Spec, Spread};
use crate::stripe::{Held, STRIPE_SLOTS, stripe_of};
use crate::table::ScanCursor;
use crate::value::{Kept, KeptRef};

/// Why an import could not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportFault {
    #[error("slot {} is not being imported", .0.number())]
    NotDark(Slot),
    #[error("the cache's maximum would be passed")]
    NoMemory,
    #[error("a change of a key that is not there")]
    NoKey,
    #[error("a command that is no effect, or that fails")]
    NoEffect,
}

/// Reads slots of one stripe, whose lock it holds.
pub struct Export<'e> {
    engine: &'e Engine,
    stripe: usize,
    _held: Held<'e>,
}

/// Writes into the Dark slots of one stripe, whose lock it holds. What is there never expires meanwhile, is not
/// counted, and is not evicted; nothing else is evicted for it.
pub struct Import<'e> {
    engine: &'e Engine,
    local: &'e mut Local,
    stripe: usize,
    _held: Held<'e>,
}

impl Engine {
    /// Locks a stripe, waiting as long as it takes, to read its slots.
    pub fn export(&self, stripe: usize) -> Export<'_> {
        Export { engine: self, stripe, _held: self.stripe(stripe).hold_patiently() }
    }

    /// Locks a stripe, waiting as long as it takes, to write into its Dark slots.
    pub fn import<'e>(&'e self, local: &'e mut Local, stripe: usize) -> Import<'e> {
        Import { engine: self, local, stripe, _held: self.stripe(stripe).hold_patiently() }
    }

    /// A key with its hash and slot. `db` is where the database lives.
    #[inline]
    pub fn key_in<'k>(&self, bytes: &'k [u8], db: Db) -> Key<'k> {
        let found = self.hasher().key_hash(bytes, 0);
        Key { bytes, hash: found.hash, slot: found.slot, db }
    }

    /// Takes all keys of a slot away, in every database, whatever its gate, and tells nobody who follows: the data now
    /// lives elsewhere, or never became valid. Returns how many there were. The entries become this worker's garbage:
    /// call [`Engine::free_garbage`] until it is done. The stripe's lock must not be held.
    pub fn drop_slot(&self, local: &mut Local, slot: Slot) -> u64 {
        let stripe = self.stripe(stripe_of(slot));
        let _held = stripe.hold_patiently();
        // SAFETY: the lock is held; the reference ends with the statement.
        let counts = unsafe { stripe.data() }.gate_of(slot).counts();
        let mut exec = if counts { Exec::upkeep(self, local, 0) } else { Exec::import(self, local, Db::default()) };
        all_dbs().map(|db| exec.drop_table(slot, db)).sum()
    }

    /// A slot's gate. The stripe's lock must not be held.
    pub fn gate(&self, slot: Slot) -> Gate {
        let stripe = self.stripe(stripe_of(slot));
        let _held = stripe.hold_patiently();
        // SAFETY: the lock is held; the reference ends with the statement.
        unsafe { stripe.data() }.gate_of(slot)
    }

    /// Keys of a slot in all databases, whatever its gate. The stripe's lock must not be held.
    pub fn slot_keys(&self, slot: Slot) -> u64 {
        let stripe = self.stripe(stripe_of(slot));
        let _held = stripe.hold_patiently();
        let len = |db| {
            // SAFETY: the lock is held; the reference ends with the statement.
            let directory = unsafe { stripe.directory(db) };
            directory.map_or(0, |directory| u64::from(directory.tables[slot.index() % STRIPE_SLOTS].len()))
        };
        all_dbs().map(len).sum()
    }
}

impl Export<'_> {
    /// Visits about `count` keys of one slot of this stripe, expired or not, from a hash cursor on in the order of
    /// hashes. Returns where to go on, or nothing when the slot is done: then every key whose hash's upper 32 bits are
    /// below the answer has been visited, if it was there.
    #[inline]
    pub fn part(&self, slot: Slot, db: Db, cursor: u32, count: usize, mut each: impl FnMut(Entry<'_>)) -> Option<u32> {
        debug_assert_eq!(stripe_of(slot), self.stripe);
        // SAFETY: this holds the lock.
        let directory = unsafe { self.engine.stripe(self.stripe).directory(db) }?;
        let table = &directory.tables[slot.index() % STRIPE_SLOTS];
        let next = table.scan(ScanCursor::from_raw(cursor), count, hash_of(self.engine), |raw| {
            // SAFETY: the table's words are live entries and the stripe is locked.
            each(unsafe { EntryPtr::from_raw(raw) }.view());
        });
        next.map(ScanCursor::raw)
    }
}

impl Import<'_> {
    /// Puts an entry as it is, over what may be there.
    ///
    /// # Errors
    /// `NotDark`; `NoMemory`, when it would pass the cache's maximum.
    #[inline]
    pub fn put(&mut self, key: Key<'_>, value: NewValue<'_>, fields: &Fields) -> Result<(), ImportFault> {
        self.check(key.slot)?;
        self.check_room(EntryPtr::bytes_for(fields, key.bytes.len(), 0) + value.len())?;
        if fields.memcached {
            self.engine.note_memcached();
        }
        let mut exec = Exec::import(self.engine, self.local, key.db);
        let found = exec.position(key);
        exec.put_entry(key, found, value, fields);
        Ok(())
    }

    /// Puts a collection as it is, over what may be there.
    ///
    /// # Errors
    /// `NotDark`; `NoMemory`, when it would pass the cache's maximum.
    pub fn put_kept(&mut self, key: Key<'_>, kept: Kept, fields: &Fields) -> Result<(), ImportFault> {
        self.check(key.slot)?;
        let bytes = match kept.as_ref() {
            KeptRef::Compact(_, bytes) => bytes.len(),
            KeptRef::Large(large) => large.heap_bytes(),
        };
        self.check_room(EntryPtr::bytes_for(fields, key.bytes.len(), 0) + bytes)?;
        let mut exec = Exec::import(self.engine, self.local, key.db);
        let found = exec.position(key);
        exec.put_kept_entry(key, found, kept, fields);
        Ok(())
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// `NotDark`; `NoKey`.
    pub fn delete(&mut self, key: Key<'_>) -> Result<(), ImportFault> {
        self.check(key.slot)?;
        let removed = Exec::import(self.engine, self.local, key.db).remove(key);
        if removed { Ok(()) } else { Err(ImportFault::NoKey) }
    }

    /// Sets or clears a key's expiry, unix milliseconds.
    ///
    /// # Errors
    /// `NotDark`; `NoKey`.
    pub fn expire_at(&mut self, key: Key<'_>, at_ms: Option<u64>) -> Result<(), ImportFault> {
        self.check(key.slot)?;
        let set = Exec::import(self.engine, self.local, key.db).set_expiry(key, at_ms);
        if set { Ok(()) } else { Err(ImportFault::NoKey) }
    }

    /// Runs the canonical command of an [`Effect::Argv`](crate::effect::Effect::Argv) on its key, then gives the entry the fields that came with it.
    ///
    /// # Errors
    /// `NotDark`; `NoKey`; `NoMemory`; `NoEffect`, where it is no such command, or not on this key, or fails.
    pub fn run(&mut self, key: Key<'_>, args: Args<'_>, fields: Fields) -> Result<(), ImportFault> {
        self.check(key.slot)?;
        self.check_room(args.payload_bytes())?;
        let (flat, only) = effect_args(self.engine, key, args)?;
        let args = flat.as_ref().map_or(args, |flat| flat.as_args());
        let keys = [only];
        let Found::Command(command) = tables().resp.find(args) else { return Err(ImportFault::NoEffect) };
        let Some(body) = command.spec.body.for_keys() else { return Err(ImportFault::NoEffect) };
        let mut exec = Exec::import(self.engine, self.local, key.db).replay(args, &keys);
        if exec.position(key).is_none() {
            return Err(ImportFault::NoKey);
        }
        let mut reply = Out::new(swell_wire::Proto::default());
        body(&mut exec, args, &mut reply).map_err(|_| ImportFault::NoEffect)?;
        if !exec.set_fields(key, fields) {
            return Err(ImportFault::NoKey);
        }
        // What a command adds is known afterwards only (SETRANGE far beyond the end).
        self.check_room(0)
    }

    /// Takes all keys of a slot in one database away.
    ///
    /// # Errors
    /// `NotDark`.
    pub fn clear(&mut self, slot: Slot, db: Db) -> Result<(), ImportFault> {
        self.check(slot)?;
        Exec::import(self.engine, self.local, db).clear_slot(slot, db);
        Ok(())
    }

    #[inline]
    fn check(&self, slot: Slot) -> Result<(), ImportFault> {
        // SAFETY: this holds the lock of its own stripe, and the reference ends with the statement.
        let is_dark = stripe_of(slot) == self.stripe
            && unsafe { self.engine.stripe(self.stripe).data() }.gate_of(slot) == Gate::Dark;
        if is_dark { Ok(()) } else { Err(ImportFault::NotDark(slot)) }
    }

    #[inline]
    fn check_room(&self, more: usize) -> Result<(), ImportFault> {
        if self.engine.would_pass(self.local, more) { Err(ImportFault::NoMemory) } else { Ok(()) }
    }
}

/// Checks that these arguments are an effect on this key; returns them with long ones in one piece where need be, and
/// where the key stands.
fn effect_args(
    engine: &Engine,
    key: Key<'_>,
    args: Args<'_>,
) -> Result<(Option<swell_wire::OwnedArgs>, KeyHash), ImportFault> {
    if args.is_empty() {
        return Err(ImportFault::NoEffect);
    }
    let Found::Command(command) = tables().resp.find(args) else { return Err(ImportFault::NoEffect) };
    if !may_be_effect(command.spec) || !command.spec.arity_fits(args.len()) {
        return Err(ImportFault::NoEffect);
    }
    let flat = command.spec.flatten(args);
    let read = flat.as_ref().map_or(args, |flat| flat.as_args());
    let mut keys = Vec::new();
    command.spec.hash_keys(engine, read, &mut keys);
    match keys.as_slice() {
        [only] if read.slice(only.arg as usize) == key.bytes => Ok((flat, *only)),
        _ => Err(ImportFault::NoEffect),
    }
}

/// Whether a command touches its one key and nothing else, whatever its other arguments are: that is what makes it safe
/// to run an [`Effect::Argv`](crate::effect::Effect::Argv) from bytes under the lock of one stripe.
fn may_be_effect(spec: &Spec) -> bool {
    let is_data = matches!(
        spec.group,
        Group::Bitmap
            | Group::Geo
            | Group::Hash
            | Group::HyperLogLog
            | Group::List
            | Group::Set
            | Group::SortedSet
            | Group::Stream
            | Group::String
    );
    is_data && spec.is_write() && spec.spread == Spread::One && spec.body.is_for_keys()
}
