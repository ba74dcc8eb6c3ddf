//! What a command sees of the engine while the stripes of its keys are locked. Every change of an entry goes through
//! here, between `before` and `after`, so that no body can forget those who follow.

use std::ptr::NonNull;

use swell_ring::Slot;
use swell_wire::{Arg, Args, Out, OwnedArgs, Proto, SEGMENT_BYTES, Segments};

use crate::clock;
use crate::commands::memcached::stat::McStat;
use crate::effect::Effect;
use crate::engine::{Arrays, Engine, Local, rounded};
use crate::entry::{Entry, EntryPtr, Fields, NewValue, Value};
use crate::error::Fault;
use crate::key::{Db, Key, KeyHash};
use crate::spec::Spec;
use crate::stripe::{Directory, STRIPE_SLOTS, STRIPES, Stripe, StripeData, stripe_of};
use crate::table::{Position, ScanCursor, Table};

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
    keys: &'e [KeyHash],
    now_ms: u64,
    db: Db,
    no_touch: bool,
    /// Whether the keys stored here count: not in the slots of an import.
    counts: bool,
    work: u64,
}

/// A slot's table with what must be kept in step with it.
struct Place<'s> {
    stripe: &'s Stripe,
    directory: &'s mut Directory,
    /// The slot's place in its stripe.
    at: usize,
    /// See [`Exec`].
    counts: bool,
}

impl<'e> Exec<'e> {
    /// For one request. The caller holds the locks of the stripes that the command will touch.
    #[inline]
    pub(crate) fn new(engine: &'e Engine, local: &'e mut Local, call: &Call<'e>) -> Exec<'e> {
        Exec {
            engine,
            local,
            keys: call.keys,
            now_ms: call.context.now_ms,
            db: engine.map_db(call.context.db),
            no_touch: call.context.no_touch,
            counts: true,
            work: 1,
        }
    }

    /// For expiry, eviction and tools, which have no request.
    pub(crate) fn upkeep(engine: &'e Engine, local: &'e mut Local, now_ms: u64) -> Exec<'e> {
        Exec { engine, local, keys: &[], now_ms, db: Db::default(), no_touch: true, counts: true, work: 0 }
    }

    /// For an import into slots that do not count, where nothing expires: no time has passed yet. `keys` are those of
    /// the command that is replayed, `db` is where its database lives.
    pub(crate) fn import(engine: &'e Engine, local: &'e mut Local, keys: &'e [KeyHash], db: Db) -> Exec<'e> {
        Exec { engine, local, keys, now_ms: 0, db, no_touch: true, counts: false, work: 0 }
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

    // === reading ===

    /// Looks a key up for reading: counts a hit or miss, notes the access, drops it if it has expired.
    #[inline]
    pub fn read(&mut self, key: Key<'_>) -> Option<Entry<'_>> {
        let Some(entry) = self.find(key) else {
            self.local.stats.misses += 1;
            return None;
        };
        self.local.stats.hits += 1;
        self.touch(entry);
        Some(entry.view())
    }

    /// Looks a key up for changing it: notes the access, counts nothing.
    #[inline]
    pub fn write_lookup(&mut self, key: Key<'_>) -> Option<Entry<'_>> {
        let entry = self.find(key)?;
        self.touch(entry);
        Some(entry.view())
    }

    /// Looks a key up without a trace.
    #[inline]
    pub fn peek(&mut self, key: Key<'_>) -> Option<Entry<'_>> {
        self.find(key).map(EntryPtr::view)
    }

    /// Counts a keyspace hit or miss for a body that used `peek`.
    pub fn count_lookup(&mut self, hit: bool) {
        if hit {
            self.local.stats.hits += 1;
        } else {
            self.local.stats.misses += 1;
        }
    }

    /// The memcached unique of an entry, if it has one.
    pub fn cas_of(&mut self, key: Key<'_>) -> Option<u64> {
        self.find(key)?.fields().cas
    }

    /// The memcached unique of an entry that exists, given now if it had none.
    pub fn ensure_cas(&mut self, key: Key<'_>) -> u64 {
        let Some(entry) = self.find(key) else { return 0 };
        let fields = entry.fields();
        if let Some(cas) = fields.cas {
            return cas;
        }
        let cas = self.engine.fresh_cas();
        if !self.stripe_data(key.slot).gate_of(key.slot).may_reap() {
            // The slot may not change now. A unique that is not kept makes the client's cas fail, which is safe.
            return cas;
        }
        self.before(key, Some(entry));
        let stored = self.rewrite(key, entry, Fields { cas: Some(cas), ..fields });
        self.after(key, || Effect::Put(stored.view()));
        cas
    }

    // === changing ===

    /// Stores a whole value, creating or overwriting the key.
    #[inline]
    pub fn put(&mut self, key: Key<'_>, value: NewValue<'_>, ttl: Ttl, mc: McField) {
        self.put_with(key, value, ttl, mc, false);
    }

    #[inline]
    fn put_with(&mut self, key: Key<'_>, value: NewValue<'_>, ttl: Ttl, mc: McField, raw: bool) {
        let found = self.position(key);
        let old = found.map(|(_, entry)| entry);
        let before = old.map_or_else(Fields::default, EntryPtr::fields);
        let fields = Fields {
            clock: self.clock_for(old),
            expire_at_ms: match ttl {
                Ttl::Clear => None,
                Ttl::Keep => before.expire_at_ms,
                Ttl::At(at) => Some(at),
            },
            cas: before.cas.map(|_| self.engine.fresh_cas()),
            mc_flags: match mc {
                McField::Clear => 0,
                McField::Keep => before.mc_flags,
                McField::Flags(flags) => flags,
            },
            raw,
            memcached: match mc {
                McField::Clear => false,
                McField::Keep => before.memcached,
                McField::Flags(_) => {
                    self.engine.note_memcached();
                    true
                }
            },
        };
        self.put_entry(key, found, value, &fields);
    }

    /// Stores a value with all its fields as they are given.
    #[inline]
    pub(crate) fn put_entry(
        &mut self,
        key: Key<'_>,
        found: Option<(Position, EntryPtr)>,
        value: NewValue<'_>,
        fields: &Fields,
    ) {
        self.before(key, found.map(|(_, entry)| entry));
        let entry = match value {
            NewValue::Bytes(bytes) if bytes.len() <= SEGMENT_BYTES => self.store(key, found, fields, bytes, None),
            NewValue::Bytes(bytes) => self.store(key, found, fields, b"", Some(Box::new(Segments::from_slice(bytes)))),
            NewValue::Segments(segments) if segments.len() > SEGMENT_BYTES => {
                self.store(key, found, fields, b"", Some(Box::new(segments)))
            }
            NewValue::Segments(segments) => self.store(key, found, fields, &segments.to_vec(), None),
        };
        self.after(key, || Effect::Put(entry.view()));
    }

    /// Gives an entry that is there all its fields; tells nobody, as the change that it belongs to is being told.
    pub(crate) fn set_fields(&mut self, key: Key<'_>, fields: Fields) -> bool {
        let Some((_, entry)) = self.position(key) else { return false };
        entry.set_clock(fields.clock);
        if let (Some(_), Some(cas)) = (entry.fields().cas, fields.cas) {
            entry.overwrite_cas(cas);
        }
        if entry.fields() != fields {
            self.rewrite(key, entry, fields);
        }
        true
    }

    /// Appends to a string that exists; returns the new length in bytes.
    pub fn append(&mut self, key: Key<'_>, arg: Arg<'_>) -> usize {
        let len = self.find(key).map_or(0, |entry| entry.view().value().len());
        self.write_range(key, len, arg)
    }

    /// Overwrites part of a string that exists, padding with zero bytes; returns the new length in bytes.
    pub fn write_range(&mut self, key: Key<'_>, offset: usize, arg: Arg<'_>) -> usize {
        let Some((position, entry)) = self.position(key) else { return 0 };
        let len = entry.view().value().len().max(offset + arg.len());
        self.before(key, Some(entry));
        if let Some(segments) = entry.segments_mut() {
            let bytes_before = segments.heap_bytes();
            write_segments(segments, offset, arg);
            let more = segments.heap_bytes() as i64 - bytes_before as i64;
            self.grow(key, more);
            entry.set_raw();
            if entry.fields().cas.is_some() {
                entry.overwrite_cas(self.engine.fresh_cas());
            }
            self.after(key, || Effect::Argv(range_effect(key, offset, arg), entry.view()));
            return len;
        }
        let before = entry.fields();
        let fields = Fields { raw: true, cas: before.cas.map(|_| self.engine.fresh_cas()), ..before };
        let stored = if len > SEGMENT_BYTES {
            let mut segments = Segments::from_slice(&entry.view().value().to_bytes());
            write_segments(&mut segments, offset, arg);
            self.store(key, Some((position, entry)), &fields, b"", Some(Box::new(segments)))
        } else {
            let mut bytes = Vec::with_capacity(len);
            bytes.extend_from_slice(&entry.view().value().to_bytes());
            bytes.resize(len, 0);
            bytes[offset..offset + arg.len()].copy_from_slice(&arg.to_bytes());
            self.store(key, Some((position, entry)), &fields, &bytes, None)
        };
        self.after(key, || Effect::Put(stored.view()));
        len
    }

    /// Deletes a key; says whether it was there.
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        if self.find(key).is_none() {
            return false;
        }
        let Some((position, entry)) = self.position(key) else { return false };
        self.delete(key, position, entry);
        true
    }

    /// Deletes a key. A string's segments are freed in pieces of 64 KiB, so it is never long; larger types will go to
    /// a helper thread.
    pub fn remove_lazily(&mut self, key: Key<'_>) -> bool {
        self.remove(key)
    }

    /// Sets or clears the expiry (unix milliseconds) of a key; says whether the key is there.
    pub fn set_expiry(&mut self, key: Key<'_>, at_ms: Option<u64>) -> bool {
        let Some(entry) = self.find(key) else { return false };
        let fields = entry.fields();
        if fields.expire_at_ms == at_ms {
            return true;
        }
        self.before(key, Some(entry));
        match at_ms {
            Some(at) if fields.expire_at_ms.is_some() => {
                entry.overwrite_expiry(at);
                self.place(key).note_expiry(at);
            }
            _ => {
                self.rewrite(key, entry, Fields { expire_at_ms: at_ms, ..fields });
            }
        }
        self.after(key, || Effect::ExpireAt(at_ms));
        true
    }

    /// Moves value and fields of `from`, which exists, to `to`, which is overwritten.
    pub fn rename(&mut self, from: Key<'_>, to: Key<'_>) {
        self.copy(from, to);
        self.remove(from);
    }

    /// Copies value and fields of `from`, which exists, to `to`, which is overwritten. Long values share segments.
    pub fn copy(&mut self, from: Key<'_>, to: Key<'_>) {
        let Some(entry) = self.find(from) else { return };
        let fields = entry.fields();
        let ttl = fields.expire_at_ms.map_or(Ttl::Clear, Ttl::At);
        let mc = if fields.memcached { McField::Flags(fields.mc_flags) } else { McField::Clear };
        match entry.view().value() {
            Value::Slice(bytes) => {
                let bytes = bytes.to_vec();
                self.put_with(to, NewValue::Bytes(&bytes), ttl, mc, fields.raw);
            }
            Value::Segments(segments) => {
                let segments = segments.clone();
                self.put_with(to, NewValue::Segments(segments), ttl, mc, fields.raw);
            }
        }
    }

    // === the whole key space, for walks and bodies with every stripe locked ===

    /// Keys of a database, in the slots that count.
    pub fn db_len(&mut self, db: Db) -> u64 {
        (0..STRIPES).map(|index| self.engine.stripe(index).db_count(db, false)).sum()
    }

    /// Exchanges two databases. Every stripe is locked. No entry changes its place, so nobody who follows is told:
    /// effects name databases by where they live.
    pub fn swap_db(&mut self, one: Db, other: Db) {
        self.engine.swap_db(one, other);
    }

    /// Visits about `count` live keys of one slot, from a hash cursor on; expired ones are dropped, not shown.
    /// Returns where to go on, or nothing when the slot is done (or does not count). The slot's stripe is locked.
    pub fn scan_slot(
        &mut self,
        slot: Slot,
        db: Db,
        cursor: u32,
        count: usize,
        each: impl FnMut(Entry<'_>),
    ) -> Option<u32> {
        if !self.stripe_data(slot).gate_of(slot).counts() {
            return None;
        }
        self.scan_any_slot(slot, db, cursor, count, each)
    }

    fn scan_any_slot(
        &mut self,
        slot: Slot,
        db: Db,
        cursor: u32,
        count: usize,
        mut each: impl FnMut(Entry<'_>),
    ) -> Option<u32> {
        let now_ms = self.now_ms;
        let engine = self.engine;
        let mut expired = Vec::new();
        let next = {
            let table = self.table(slot, db)?;
            table.scan(ScanCursor::from_raw(cursor), count, hash_of(engine), |raw| {
                // SAFETY: the table's words are live entries and the stripe is locked.
                let entry = unsafe { EntryPtr::from_raw(raw) };
                match entry.expire_at_ms() {
                    Some(at) if at < now_ms => expired.push(entry.key().to_vec()),
                    _ => each(entry.view()),
                }
            })
        };
        for bytes in expired {
            let key = Key { db, ..self.key_of(&bytes) };
            self.find(key);
        }
        next.map(ScanCursor::raw)
    }

    /// Keys of one slot in one database; 0 where they do not count. The slot's stripe is locked.
    pub fn slot_len(&mut self, slot: Slot, db: Db) -> u64 {
        if !self.stripe_data(slot).gate_of(slot).counts() {
            return 0;
        }
        self.table(slot, db).map_or(0, |table| u64::from(table.len()))
    }

    /// A key of the slot picked by a random number, expired or not.
    pub fn random_key(&mut self, slot: Slot, db: Db) -> Option<Entry<'_>> {
        let random = self.local.random();
        let raw = self.table(slot, db)?.random(random)?;
        // SAFETY: as in scan_slot.
        Some(unsafe { EntryPtr::from_raw(raw) }.view())
    }

    /// Takes every key of a slot in one database away; returns how many. The entries go to the worker's garbage, which
    /// is freed in slices after the lock: however many there are, the lock is held for a moment only. The slot's
    /// stripe is locked.
    pub fn clear_slot(&mut self, slot: Slot, db: Db) -> u64 {
        let keys = self.drop_table(slot, db);
        if keys > 0
            && let Some(observers) = &mut self.stripe_data(slot).observer
        {
            observers.cleared(slot, db);
        }
        keys
    }

    /// As `clear_slot`, and tells nobody.
    pub(crate) fn drop_table(&mut self, slot: Slot, db: Db) -> u64 {
        if self.table(slot, db).is_none_or(|table| table.is_empty() && table.array_bytes() == 0) {
            return 0;
        }
        let mut place = self.place(Key { bytes: b"", hash: 0, slot, db });
        let table = std::mem::take(place.table());
        let (keys, volatile) = (table.len(), table.volatile);
        place.count(-(keys as i32), -(volatile as i32));
        place.directory.earliest_expiry_ms[place.at] = u64::MAX;
        if !self.counts {
            place.stripe.add_uncounted(-(table.bytes as i64 + table.array_bytes() as i64));
        }
        self.local.garbage.push(table);
        u64::from(keys)
    }

    // === upkeep ===

    /// Deletes the expired ones of about `count` keys of one slot, from a hash cursor on. Notes when the next of them
    /// will expire, adds to `visited`, and returns where to go on. The stripe is locked, the gate serving.
    pub(crate) fn expire_part(
        &mut self,
        slot: Slot,
        db: Db,
        cursor: u32,
        count: usize,
        visited: &mut u64,
    ) -> Option<u32> {
        let mut earliest = u64::MAX;
        let before = self.slot_len(slot, db);
        let next = self.scan_slot(slot, db, cursor, count, |entry| {
            *visited += 1;
            earliest = earliest.min(entry.expire_at_ms().unwrap_or(u64::MAX));
        });
        *visited += before - self.slot_len(slot, db);
        // SAFETY: the stripe is locked.
        if let Some(directory) = unsafe { self.engine.stripe(stripe_of(slot)).directory(db) } {
            let noted = &mut directory.earliest_expiry_ms[slot.index() % STRIPE_SLOTS];
            *noted = earliest.min(if cursor == 0 { u64::MAX } else { *noted });
        }
        next
    }

    /// Evicts the key with this hash if it was not used since its clock was read. The stripe is locked.
    pub(crate) fn evict(&mut self, slot: Slot, db: Db, hash: u64, clock: u32) -> bool {
        let engine = self.engine;
        let Some(table) = self.table(slot, db) else { return false };
        let is_it = |raw| {
            // SAFETY: as in scan_slot.
            let entry = unsafe { EntryPtr::from_raw(raw) };
            entry.clock() == clock && engine.hasher().hash(entry.key()) == hash
        };
        let Some(position) = table.find(hash, is_it) else { return false };
        // SAFETY: as in scan_slot.
        let entry = unsafe { EntryPtr::from_raw(table.get(position)) };
        let bytes = entry.key().to_vec();
        self.delete(Key { bytes: &bytes, hash, slot, db }, position, entry);
        true
    }

    /// Moves about `count` entries of one slot, from a hash cursor on, from sparse spans to fuller ones (and at its
    /// beginning the table's array). Adds to `moved_bytes` and returns where to go on. The stripe is locked.
    pub(crate) fn compact_part(
        &mut self,
        slot: Slot,
        db: Db,
        cursor: u32,
        count: usize,
        moved_bytes: &mut u64,
    ) -> Option<u32> {
        let engine = self.engine;
        let heap = engine.heap();
        let table = self.table(slot, db)?;
        // SAFETY: the array belongs to this heap, and its stripe is locked.
        if cursor == 0 && unsafe { table.defragment(heap) } {
            *moved_bytes += table.array_bytes() as u64;
        }
        let mut raws: Vec<NonNull<u8>> = Vec::new();
        let next = table.scan(ScanCursor::from_raw(cursor), count, hash_of(engine), |raw| raws.push(raw));
        for raw in raws {
            // SAFETY: live entries of a locked stripe, blocks of this heap with the size that their header says; a
            // boxed long value moves with its pointer.
            unsafe {
                let entry = EntryPtr::from_raw(raw);
                let bytes = entry.bytes();
                let Some(to) = heap.denser(raw, bytes) else { continue };
                to.copy_from_nonoverlapping(raw, bytes);
                let hash = engine.hasher().hash(entry.key());
                let Some(position) = table.find(hash, |other| other == raw) else {
                    heap.free_direct(to, bytes);
                    continue;
                };
                table.replace(position, to);
                heap.free_direct(raw, bytes);
                *moved_bytes += bytes as u64;
            }
        }
        next.map(ScanCursor::raw)
    }

    // === inside ===

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
        let (position, entry) = self.position(key)?;
        match entry.expire_at_ms() {
            Some(at) if at < self.now_ms => {
                self.expire(key, position, entry);
                None
            }
            _ => Some(entry),
        }
    }

    #[cold]
    fn expire(&mut self, key: Key<'_>, position: Position, entry: EntryPtr) {
        if self.stripe_data(key.slot).gate_of(key.slot).may_reap() {
            self.delete(key, position, entry);
            self.local.stats.expired_keys += 1;
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
        value: &[u8],
        segments: Option<Box<Segments>>,
    ) -> EntryPtr {
        let value_len = segments.as_ref().map_or(value.len(), |segments| segments.len());
        let bytes = EntryPtr::bytes_for(fields, key.bytes.len(), value_len);
        let outside = segments.as_ref().map_or(0, |segments| segments.heap_bytes());
        let engine = self.engine;
        let Some((position, old)) = found else {
            let to = self.local.heap.alloc(engine.heap(), bytes);
            // SAFETY: `to` was just allocated with room for these parts.
            unsafe { EntryPtr::write(to, fields, key.bytes, value, segments) };
            self.insert(key, to, fields.expire_at_ms, (rounded(bytes) + outside) as i64);
            // SAFETY: just written.
            return unsafe { EntryPtr::from_raw(to) };
        };
        let old_bytes = old.bytes();
        let old_expiry = old.expire_at_ms();
        // SAFETY: the old value is not read again.
        let old_outside = unsafe { old.take_segments() }.map_or(0, |segments| segments.heap_bytes());
        let same_block = rounded(old_bytes) == rounded(bytes);
        let to = if same_block { old.as_raw() } else { self.local.heap.alloc(engine.heap(), bytes) };
        // SAFETY: the block has room for these parts; key and value come from the request, not from the entry.
        unsafe { EntryPtr::write(to, fields, key.bytes, value, segments) };
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
        match entry.view().value() {
            Value::Slice(bytes) => {
                let bytes = bytes.to_vec();
                self.store(key, Some((position, entry)), &fields, &bytes, None)
            }
            Value::Segments(segments) => {
                let segments = Box::new(segments.clone());
                self.store(key, Some((position, entry)), &fields, b"", Some(segments))
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
            drop(entry.take_segments());
            self.local.heap.free(self.engine.heap(), entry.as_raw(), bytes);
        }
        self.account(key.slot, -(held as i64) - less_array);
        self.after(key, || Effect::Delete);
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
        }
    }

    #[inline]
    fn after<'a>(&mut self, key: Key<'_>, effect: impl FnOnce() -> Effect<'a>) {
        if let Some(observer) = &mut self.stripe_data(key.slot).observer {
            observer.after(key.slot, key.db, key.bytes, &effect());
        }
    }
}

impl Place<'_> {
    #[inline]
    fn table(&mut self) -> &mut Table {
        &mut self.directory.tables[self.at]
    }

    #[inline]
    fn change_expiry(&mut self, before: Option<u64>, after: Option<u64>) {
        let change = i32::from(after.is_some()) - i32::from(before.is_some());
        if change != 0 {
            let table = self.table();
            table.volatile = table.volatile.wrapping_add_signed(change);
            self.count(0, change);
        }
        if let Some(at) = after {
            self.note_expiry(at);
        }
    }

    #[inline]
    fn count(&self, keys: i32, volatile: i32) {
        if self.counts {
            self.directory.add(keys.into(), volatile.into());
            self.stripe.count(keys, volatile);
        }
    }

    fn note_expiry(&mut self, at_ms: u64) {
        use std::sync::atomic::Ordering::Relaxed;
        let earliest = &mut self.directory.earliest_expiry_ms[self.at];
        *earliest = (*earliest).min(at_ms);
        if at_ms < self.stripe.earliest_expiry_ms.load(Relaxed) {
            self.stripe.earliest_expiry_ms.store(at_ms, Relaxed);
        }
    }
}

/// The hash of an entry, for tables that must move it.
pub(crate) fn hash_of(engine: &Engine) -> impl Fn(NonNull<u8>) -> u64 + '_ {
    // SAFETY: tables ask about their own words only, under the lock.
    |raw| engine.hasher().hash(unsafe { EntryPtr::from_raw(raw) }.key())
}

fn write_segments(segments: &mut Segments, offset: usize, arg: Arg<'_>) {
    match arg {
        Arg::Slice(bytes) => segments.write_at(offset, bytes),
        Arg::Segments(more) => {
            let mut at = offset;
            for part in more.parts() {
                segments.write_at(at, part);
                at += part.len();
            }
        }
    }
}

fn range_effect(key: Key<'_>, offset: usize, arg: Arg<'_>) -> OwnedArgs {
    let mut args = OwnedArgs::default();
    args.push(b"setrange");
    args.push(key.bytes);
    args.push(offset.to_string().as_bytes());
    match arg {
        Arg::Slice(bytes) => args.push(bytes),
        Arg::Segments(segments) => args.push_segments(segments.clone()),
    }
    args
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

/// Visits the live keys of one slot under its lock, whatever its gate: for tools and tests.
pub fn inspect_slot(
    engine: &Engine,
    local: &mut Local,
    slot: Slot,
    db: Db,
    now_ms: u64,
    mut each: impl FnMut(Entry<'_>),
) {
    let _held = engine.stripe(stripe_of(slot)).hold_patiently();
    let mut exec = Exec::upkeep(engine, local, now_ms);
    let mut cursor = Some(0);
    while let Some(at) = cursor {
        cursor = exec.scan_any_slot(slot, db, at, usize::MAX, &mut each);
    }
}
