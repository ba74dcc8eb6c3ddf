//! What a command sees of the engine while the stripes of its keys are locked. Every change of an entry goes through
//! here, between `before` and `after`, so that no body can forget those who follow.

use std::ptr::NonNull;

use swell_ring::Slot;
use swell_wire::{Args, Out, Proto};

use crate::channels::Channels;
use crate::clock;
use crate::commands::generic::sort;
use crate::commands::memcached::stat::McStat;
use crate::effect::Effect;
use crate::engine::{Arrays, Engine, Local, rounded};
use crate::entry::{EntryPtr, Fields, Outside, Stored};
use crate::error::Fault;
use crate::key::{Db, Key, KeyHash};
use crate::notify::Class;
use crate::slices::Deferred;
use crate::spec::{Begin, Flags, Spec};
use crate::stripe::{STRIPE_SLOTS, StripeData, stripe_of};
use crate::table::{Position, Table};
use crate::track::Tracker;

pub use block::Blocks;
pub use edit::{Change, Missing, Tools};
pub use keyspace::inspect_slot;

use place::Place;

mod block;
mod change;
mod edit;
mod keyspace;
mod notify;
mod place;
mod read;
mod upkeep;

/// What a body returns: its reply is in the buffer, or nothing was changed and this is why.
pub type Reply = Result<(), Fault>;

/// One request, ready to run: admitted, its keys hashed. Only an [`Admitted`](crate::admit::Admitted) request becomes one.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub(crate) spec: &'static Spec,
    pub(crate) args: Args<'a>,
    /// Hashes of its keys, in the order of its key specs.
    pub(crate) keys: &'a [KeyHash],
    pub(crate) context: Context,
}

/// What a request runs in, beside its own bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// The client's database.
    pub db: Db,
    pub proto: Proto,
    /// `CLIENT NO-TOUCH`: reads leave the access clock alone.
    pub no_touch: bool,
    /// `CLIENT TRACKING`: who it is, and whether what it reads is to be remembered.
    pub tracker: Tracker,
    /// Whether it may wait for what is not there.
    pub blocks: Blocks,
    /// Unix milliseconds, the same for the whole command.
    pub now_ms: u64,
}

impl<'a> Call<'a> {
    /// The command.
    pub fn spec(&self) -> &'static Spec {
        self.spec
    }

    /// Its arguments, the name first.
    pub fn args(&self) -> Args<'a> {
        self.args
    }

    /// Whether it looks at keys that it does not name, in slots that may be any: every stripe must be locked.
    #[inline]
    pub(crate) fn reaches_beyond(&self) -> bool {
        reaches_beyond(self.spec, self.args)
    }
}

/// See [`Call::reaches_beyond`].
#[inline]
pub(crate) fn reaches_beyond(spec: &Spec, args: Args<'_>) -> bool {
    spec.flags.has(Flags::MOVABLEKEYS)
        && spec.keys.iter().any(|keys| keys.begin == Begin::Unknown)
        && sort::reaches_beyond(args)
}

/// What becomes of the expiry when a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    Clear,
    Keep,
    /// Unix milliseconds.
    At(u64),
}

/// What becomes of the memcached client flags when a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McField {
    Clear,
    Keep,
    Flags(u32),
}

/// The engine under the locks of one command.
pub struct Exec<'e> {
    /// For settings; keys are reached through the methods here.
    pub engine: &'e Engine,
    local: &'e mut Local,
    /// The request itself; upkeep has none.
    call: Option<&'e Call<'e>>,
    /// The command's words, for effects that are the command itself.
    args: Args<'e>,
    keys: &'e [KeyHash],
    now_ms: u64,
    db: Db,
    no_touch: bool,
    /// Whose request it is, of those who keep copies; or 0.
    by: u64,
    /// It changes what readers keep beside a value.
    is_aside: bool,
    /// Whether the keys stored here count: not in the slots of an import.
    counts: bool,
    work: u64,
    /// The rest of the reply, where that is long.
    pub(crate) deferred: Option<Box<Deferred>>,
    /// A request that waits has found nothing again.
    pub(crate) still_waits: bool,
}

impl<'e> Exec<'e> {
    /// For one request. The caller holds the locks of the stripes that the command will touch.
    #[inline]
    pub(crate) fn new(engine: &'e Engine, local: &'e mut Local, call: &'e Call<'e>) -> Exec<'e> {
        Exec {
            engine,
            local,
            call: Some(call),
            args: call.args,
            keys: call.keys,
            now_ms: call.context.now_ms,
            db: engine.map_db(call.context.db),
            no_touch: call.context.no_touch,
            by: call.context.tracker.id,
            is_aside: false,
            counts: true,
            work: 1,
            deferred: None,
            still_waits: false,
        }
    }

    /// For expiry, eviction and tools, which have no request.
    pub(crate) fn upkeep(engine: &'e Engine, local: &'e mut Local, now_ms: u64) -> Exec<'e> {
        Exec::without_call(engine, local, now_ms, Db::default(), true)
    }

    /// For an import into slots that do not count, where nothing expires: no time has passed yet. `db` is where the
    /// database lives.
    pub(crate) fn import(engine: &'e Engine, local: &'e mut Local, db: Db) -> Exec<'e> {
        Exec::without_call(engine, local, 0, db, false)
    }

    fn without_call(engine: &'e Engine, local: &'e mut Local, now_ms: u64, db: Db, counts: bool) -> Exec<'e> {
        Exec {
            engine,
            local,
            call: None,
            args: Args::new(&[], &[], &[]),
            keys: &[],
            now_ms,
            db,
            no_touch: true,
            by: 0,
            is_aside: false,
            counts,
            work: 0,
            deferred: None,
            still_waits: false,
        }
    }

    /// The same, for a command that is replayed on its key.
    pub(crate) fn replay(self, args: Args<'e>, keys: &'e [KeyHash]) -> Exec<'e> {
        Exec { args, keys, ..self }
    }

    /// Unix milliseconds, the same for the whole command.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Where the client's database lives.
    pub fn db(&self) -> Db {
        self.db
    }

    /// Number of keys of the command.
    pub fn keys_len(&self) -> usize {
        self.keys.len()
    }

    /// The command's n-th key, in the order of its key specs.
    #[inline]
    pub fn key<'a>(&self, args: Args<'a>, n: usize) -> Key<'a> {
        let KeyHash { hash, arg, slot } = self.keys[n];
        Key { bytes: args.slice(arg as usize), hash, slot, db: self.db }
    }

    /// Hashes a key that is not among the command's own; its stripe must be locked all the same.
    pub fn key_of<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        let KeyHash { hash, slot, .. } = self.engine.hasher().key_hash(bytes, 0);
        Key { bytes, hash, slot, db: self.db }
    }

    /// From here on it changes what readers keep beside a value (a stream's groups), which is no change of the key for
    /// WATCH and client-side caching, as in Valkey.
    pub fn change_aside(&mut self) {
        self.is_aside = true;
    }

    /// Counts logical work beyond the one unit that each call starts with.
    #[inline]
    pub fn work(&mut self, more: u64) {
        self.work += more;
    }

    /// The logical work so far.
    #[inline]
    pub fn work_done(&self) -> u64 {
        self.work
    }

    /// Where messages go.
    pub fn channels(&self) -> Option<&'e dyn Channels> {
        self.engine.channels()
    }

    /// Counts a memcached statistic.
    #[inline]
    pub fn count(&mut self, stat: McStat) {
        self.local.stats.memcached[stat as usize] += 1;
    }

    /// Largest memcached item, in bytes.
    pub fn item_bytes_max(&self) -> usize {
        self.engine.settings().item_bytes_max()
    }

    /// A database by the number in a command.
    pub fn map_db(&self, number: i64) -> Result<Db, Fault> {
        Db::new(number).map(|db| self.engine.map_db(db)).ok_or(Fault::DbOutOfRange)
    }

    /// A pseudo-random number.
    pub fn random(&mut self) -> u64 {
        self.local.random()
    }

    #[inline]
    fn stripe_data(&self, slot: Slot) -> &'e mut StripeData {
        // SAFETY: the stripes of all keys of a command are locked while its Exec lives, and no reference to this
        // data is kept across calls of other methods.
        unsafe { self.engine.stripe(stripe_of(slot)).data() }
    }

    #[inline]
    fn table(&self, slot: Slot, db: Db) -> Option<&'e mut Table> {
        // SAFETY: as in stripe_data.
        let directory = unsafe { self.engine.stripe(stripe_of(slot)).directory(db) }?;
        Some(&mut directory.tables[slot.index() % STRIPE_SLOTS])
    }

    #[inline]
    fn place(&self, key: Key<'_>) -> Place<'e> {
        let stripe = self.engine.stripe(stripe_of(key.slot));
        // SAFETY: as in stripe_data.
        let directory = unsafe { stripe.directory_or_new(key.db) };
        Place { stripe, directory, at: key.slot.index() % STRIPE_SLOTS, counts: self.counts }
    }

    #[inline]
    pub(crate) fn position(&self, key: Key<'_>) -> Option<(Position, EntryPtr)> {
        let table = self.table(key.slot, key.db)?;
        // SAFETY: the table's words are live entries and the stripe is locked.
        let position = table.find(key.hash, |raw| unsafe { EntryPtr::from_raw(raw) }.is_key(key.bytes))?;
        // SAFETY: as above.
        Some((position, unsafe { EntryPtr::from_raw(table.get(position)) }))
    }

    /// The entry of a key that has not expired; one that has is deleted on the way, where the gate allows it.
    #[inline]
    fn find(&mut self, key: Key<'_>) -> Option<EntryPtr> {
        self.find_at(key).map(|(_, entry)| entry)
    }

    /// The same, with its place in the table.
    #[inline]
    fn find_at(&mut self, key: Key<'_>) -> Option<(Position, EntryPtr)> {
        let (position, entry) = self.position(key)?;
        match entry.expire_at_ms() {
            Some(at) if at < self.now_ms => {
                self.expire(key, position, entry);
                None
            }
            _ => Some((position, entry)),
        }
    }

    #[cold]
    fn expire(&mut self, key: Key<'_>, position: Position, entry: EntryPtr) {
        let is_kept = !self.engine.settings().may_reap() && self.call.is_some_and(|call| !call.spec().is_write());
        if !is_kept && self.stripe_data(key.slot).gate_of(key.slot).may_reap() {
            self.delete(key, position, entry);
            self.local.stats.expired_keys += 1;
            self.notify(Class::EXPIRED, "expired", key);
        }
    }

    #[inline]
    fn touch(&mut self, entry: EntryPtr) {
        if self.no_touch {
            return;
        }
        let settings = self.engine.settings();
        if settings.policy().is_lfu() {
            let (decay, factor) = (settings.lfu_decay_minutes(), settings.lfu_log_factor());
            let random = self.local.random();
            entry.set_clock(clock::lfu_touch(entry.clock(), self.now_ms, decay, factor, random));
        } else {
            entry.set_clock(clock::lru_clock(self.now_ms));
        }
    }

    #[inline]
    fn clock_for(&mut self, old: Option<EntryPtr>) -> u32 {
        match old {
            _ if !self.engine.settings().policy().is_lfu() => clock::lru_clock(self.now_ms),
            Some(old) => old.clock(),
            None => clock::lfu_clock(self.now_ms, clock::LFU_INITIAL),
        }
    }

    /// Writes an entry into the place of the old one, or into a new place.
    #[inline]
    fn store(
        &mut self,
        key: Key<'_>,
        found: Option<(Position, EntryPtr)>,
        fields: &Fields,
        value: Stored<'_>,
    ) -> EntryPtr {
        let bytes = EntryPtr::bytes_for(fields, key.bytes.len(), value.len());
        let outside = value.outside_bytes();
        let engine = self.engine;
        let Some((position, old)) = found else {
            let to = self.local.heap.alloc(engine.heap(), bytes);
            // SAFETY: `to` was just allocated with room for these parts.
            unsafe { EntryPtr::write(to, fields, key.bytes, value) };
            self.insert(key, to, fields.expire_at_ms, (rounded(bytes) + outside) as i64);
            // SAFETY: just written.
            return unsafe { EntryPtr::from_raw(to) };
        };
        let old_bytes = old.bytes();
        let old_expiry = old.expire_at_ms();
        // SAFETY: the old value is not read again.
        let old_outside = unsafe { old.take_outside() }.map_or(0, |outside| self.discard(outside));
        let same_block = rounded(old_bytes) == rounded(bytes);
        let to = if same_block { old.as_raw() } else { self.local.heap.alloc(engine.heap(), bytes) };
        // SAFETY: the block has room for these parts; key and value come from the request, not from the entry.
        unsafe { EntryPtr::write(to, fields, key.bytes, value) };
        if !same_block {
            // SAFETY: the old entry is replaced in the table below and was allocated with this size.
            unsafe { self.local.heap.free(engine.heap(), old.as_raw(), old_bytes) };
        }
        let mut place = self.place(key);
        if !same_block {
            place.table().replace(position, to);
        }
        place.change_expiry(old_expiry, fields.expire_at_ms);
        let more = (rounded(bytes) + outside) as i64 - (rounded(old_bytes) + old_outside) as i64;
        if more != 0 {
            place.table().bytes = place.table().bytes.wrapping_add_signed(more);
            self.account(key.slot, more);
        }
        // SAFETY: just written.
        unsafe { EntryPtr::from_raw(to) }
    }

    /// Writes the same key and value with other fields. `before` and `after` are the caller's.
    fn rewrite(&mut self, key: Key<'_>, entry: EntryPtr, fields: Fields) -> EntryPtr {
        let Some((position, _)) = self.position(key) else { return entry };
        // SAFETY: the entry is written anew below, with what is taken here.
        let (form, outside) = (entry.form(), unsafe { entry.take_outside() });
        match outside {
            Some(outside) => {
                let bytes = outside.heap_bytes() as i64;
                // What was taken is still counted, and no longer found; `store` counts it again.
                entry.forget_outside();
                self.grow(key, -bytes);
                self.store(key, Some((position, entry)), &fields, Stored::Outside(outside))
            }
            None => {
                let bytes = entry.inline_value().to_vec();
                self.store(key, Some((position, entry)), &fields, Stored::Inline(form, &bytes))
            }
        }
    }

    #[inline]
    fn account(&mut self, slot: Slot, bytes: i64) {
        if !self.counts {
            self.engine.stripe(stripe_of(slot)).add_uncounted(bytes);
        }
        self.engine.account(self.local, bytes);
    }

    fn insert(&mut self, key: Key<'_>, entry: NonNull<u8>, expire_at_ms: Option<u64>, bytes: i64) {
        let mut place = self.place(key);
        let array_before = place.table().array_bytes();
        let mut arrays = Arrays { heap: self.engine.heap(), local: &mut self.local.heap };
        place.table().insert(&mut arrays, key.hash, entry, hash_of(self.engine));
        let more_array = place.table().array_bytes() as i64 - array_before as i64;
        place.table().bytes += bytes as u64;
        place.count(1, 0);
        place.change_expiry(None, expire_at_ms);
        self.account(key.slot, bytes + more_array);
        self.notify(Class::NEW, "new", key);
    }

    fn delete(&mut self, key: Key<'_>, position: Position, entry: EntryPtr) {
        self.before(key, Some(entry));
        let mut place = self.place(key);
        let array_before = place.table().array_bytes();
        let mut arrays = Arrays { heap: self.engine.heap(), local: &mut self.local.heap };
        place.table().remove(&mut arrays, position, hash_of(self.engine));
        let less_array = array_before as i64 - place.table().array_bytes() as i64;
        let bytes = entry.bytes();
        let held = entry.heap_bytes();
        place.table().bytes -= held as u64;
        place.count(-1, 0);
        place.change_expiry(entry.expire_at_ms(), None);
        // SAFETY: the table no longer names the entry, nothing reads it again.
        unsafe {
            if let Some(outside) = entry.take_outside() {
                self.discard(outside);
            }
            self.local.heap.free(self.engine.heap(), entry.as_raw(), bytes);
        }
        self.account(key.slot, -(held as i64) - less_array);
        self.after(key, || Effect::Delete);
    }

    /// Frees what an entry pointed to, or leaves that for later if it is much; returns its accounted bytes.
    fn discard(&mut self, outside: Outside) -> usize {
        let bytes = outside.heap_bytes();
        self.local.garbage.discard(outside);
        bytes
    }

    fn grow(&mut self, key: Key<'_>, more: i64) {
        let mut place = self.place(key);
        place.table().bytes = place.table().bytes.wrapping_add_signed(more);
        self.account(key.slot, more);
    }

    #[inline]
    fn before(&mut self, key: Key<'_>, entry: Option<EntryPtr>) {
        if let Some(observer) = &mut self.stripe_data(key.slot).observer {
            observer.before(key.slot, key.db, key.bytes, entry.map(EntryPtr::view));
            if let Some(queues) = &mut observer.queues {
                queues.note_before(entry.is_some());
            }
        }
    }

    #[inline]
    fn after<'a>(&mut self, key: Key<'_>, effect: impl FnOnce() -> Effect<'a>) {
        let followed = &mut self.stripe_data(key.slot).observer;
        let Some(observers) = followed else { return };
        let effect = effect();
        observers.after(key.slot, key.db, key.bytes, &effect);
        // A key that is gone (it may have expired) is gone for everybody.
        if !self.is_aside || matches!(effect, Effect::Delete) {
            observers.touched(key.db, key.bytes, &effect, self.by);
        }
        if let Some(queues) = &mut observers.queues {
            self.local.ready.extend(queues.note(key, &effect, self.args, self.now_ms));
        }
        if observers.is_empty() {
            *followed = None;
        }
    }
}

/// The hash of an entry, for tables that must move it.
pub(crate) fn hash_of(engine: &Engine) -> impl Fn(NonNull<u8>) -> u64 + '_ {
    // SAFETY: tables ask about their own words only, under the lock.
    |raw| engine.hasher().hash(unsafe { EntryPtr::from_raw(raw) }.key())
}

/// Writes a fault in the words of the protocol the command belongs to.
pub(crate) fn write_fault(spec: &Spec, fault: &Fault, out: &mut Out) {
    if spec.group != crate::spec::Group::Memcached {
        return out.error(&fault.to_string());
    }
    match fault {
        Fault::Memcached(text) => out.raw(text.as_bytes()),
        Fault::OutOfMemory => out.raw(b"SERVER_ERROR out of memory storing object"),
        other => out.raw(format!("SERVER_ERROR {other}").as_bytes()),
    }
    out.raw(b"\r\n");
}
