//! The engine: one cache's key space on one node, and what each worker keeps of its own beside it.

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::Waker;

use swell_ring::SLOTS;

use crate::acl::User;
use crate::bulk::Helpers;
use crate::channels::Channels;
use crate::commands::memcached::stat::McStat;
use crate::effect::{Observer, ObserverId};
use crate::evict::{Policy, Pool};
use crate::expire::UpkeepCursor;
use crate::garbage::Garbage;
use crate::heap::{self, Heap, HeapLocal, HeapStats};
use crate::key::{DATABASES, Db, Hasher, all_dbs};
use crate::notify::{Class, LiveClasses, Notifier};
use crate::script::{ScriptMachine, Scripts};
use crate::slices::{Deferred, Leftovers};
use crate::stripe::{STRIPES, Stripe};
use crate::table::ArrayAlloc;
use crate::track::Tracking;
use crate::value::COMPACT_BYTES_MAX;
use crate::value::limits::{Limits, LiveLimits};
use crate::waiters::{Ready, Waiters};
use crate::watch::Abandoned;

/// Bytes a worker may be ahead of the shared count of used memory.
const ACCOUNT_SLACK_BYTES: i64 = 16 * 1024;
/// The heap may hold this part (one in …) and this many bytes more than is stored before upkeep packs it.
const SPARSE_PART: u64 = 32;
const SPARSE_BYTES: u64 = 1024 * 1024;

/// Memory held in vain takes at most this part (one in …) of the maximum from what is stored.
const SPARSE_STORED_PART: u64 = 4;

/// How full a cache is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fullness {
    /// Below its maximum.
    Room,
    /// What is stored is below the maximum, but with what is held in vain it is above.
    Sparse,
    /// What is stored is above the maximum.
    Full,
}

/// Settings that may change while running.
#[derive(Debug)]
pub struct Settings {
    maxmemory_total_bytes: AtomicU64,
    /// How many of all slots this engine's share of the maximum is for.
    maxmemory_slots: AtomicU32,
    policy: AtomicU8,
    /// Classes of keyspace notifications that are told.
    notified: LiveClasses,
    lfu_decay_minutes: AtomicU32,
    lfu_log_factor: AtomicU32,
    item_bytes_max: AtomicU64,
    string_bytes_max: AtomicU64,
    /// Nobody has asked for noeviction: what memcached clients wrote may go all the same.
    spares_only_resp: AtomicBool,
    /// A pause of clients: nothing expires by being read or by upkeep, and nothing is evicted by upkeep.
    paused: AtomicBool,
    /// Upkeep looks for expired keys.
    expires_actively: AtomicBool,
    limits: LiveLimits,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            maxmemory_total_bytes: AtomicU64::new(0),
            maxmemory_slots: AtomicU32::new(SLOTS as u32),
            policy: AtomicU8::new(0),
            notified: LiveClasses::default(),
            lfu_decay_minutes: AtomicU32::new(1),
            lfu_log_factor: AtomicU32::new(10),
            item_bytes_max: AtomicU64::new(swell_wire::limits::MEMCACHED_ITEM_BYTES_MAX as u64),
            string_bytes_max: AtomicU64::new(swell_wire::limits::BULK_BYTES_MAX as u64),
            spares_only_resp: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            expires_actively: AtomicBool::new(true),
            limits: LiveLimits::default(),
        }
    }
}

impl Settings {
    /// Thresholds between compact and large values.
    #[inline]
    pub fn limits(&self) -> Limits {
        self.limits.now()
    }

    /// The same, to be read and set one by one.
    pub fn live_limits(&self) -> &LiveLimits {
        &self.limits
    }

    /// What this engine may hold, in bytes: its share of the cache's maximum; 0: no limit.
    #[inline]
    pub fn maxmemory_bytes(&self) -> u64 {
        let (total, slots) = (self.maxmemory_total_bytes(), self.maxmemory_slots.load(Relaxed));
        // A share that is nothing would be no limit.
        (u128::from(total) * u128::from(slots) / SLOTS as u128).max(u128::from(total.min(1))) as u64
    }

    /// The whole cache's maximum in bytes, as configured; 0: none.
    #[inline]
    pub fn maxmemory_total_bytes(&self) -> u64 {
        self.maxmemory_total_bytes.load(Relaxed)
    }

    /// Sets the whole cache's maximum in bytes; 0: none.
    pub fn set_maxmemory_total_bytes(&self, bytes: u64) {
        self.maxmemory_total_bytes.store(bytes, Relaxed);
    }

    /// This engine's share is for so many of all [`SLOTS`]; at first for all. None at all means all, too: who owns
    /// nothing yet shall be able to take something in.
    pub fn set_maxmemory_slots(&self, slots: usize) {
        let slots = if slots == 0 { SLOTS } else { slots.min(SLOTS) };
        self.maxmemory_slots.store(slots as u32, Relaxed);
    }

    /// For how many slots this engine's share is.
    pub fn maxmemory_slots(&self) -> usize {
        self.maxmemory_slots.load(Relaxed) as usize
    }

    /// What goes when memory is full.
    #[inline]
    pub fn policy(&self) -> Policy {
        Policy::from_number(self.policy.load(Relaxed))
    }

    pub fn set_policy(&self, policy: Policy) {
        self.policy.store(policy as u8, Relaxed);
    }

    /// Which keyspace notifications are told (`notify-keyspace-events`).
    #[inline]
    pub fn notified(&self) -> Class {
        self.notified.now()
    }

    pub fn set_notified(&self, classes: Class) {
        self.notified.set(classes);
    }

    /// Whether noeviction holds only for what RESP clients wrote, because nobody has set it explicitly: memcached's
    /// users expect a full cache to forget.
    pub fn spares_only_resp(&self) -> bool {
        self.spares_only_resp.load(Relaxed)
    }

    pub fn set_spares_only_resp(&self, spares: bool) {
        self.spares_only_resp.store(spares, Relaxed);
    }

    /// Whether expired keys may be deleted by whoever only reads, and by upkeep. What writes may always.
    pub fn may_reap(&self) -> bool {
        !self.paused.load(Relaxed)
    }

    /// While writes are held back: what has expired reads as missing and stays.
    pub fn set_reaping(&self, reaping: bool) {
        self.paused.store(!reaping, Relaxed);
    }

    /// Whether upkeep looks for expired keys.
    pub fn expires_actively(&self) -> bool {
        self.expires_actively.load(Relaxed)
    }

    /// `DEBUG SET-ACTIVE-EXPIRE`.
    pub fn set_expires_actively(&self, expires: bool) {
        self.expires_actively.store(expires, Relaxed);
    }

    /// Minutes after which an LFU counter loses one (`lfu-decay-time`).
    pub fn lfu_decay_minutes(&self) -> u32 {
        self.lfu_decay_minutes.load(Relaxed)
    }

    pub fn set_lfu_decay_minutes(&self, minutes: u32) {
        self.lfu_decay_minutes.store(minutes, Relaxed);
    }

    /// How slowly an LFU counter grows (`lfu-log-factor`).
    pub fn lfu_log_factor(&self) -> u32 {
        self.lfu_log_factor.load(Relaxed)
    }

    pub fn set_lfu_log_factor(&self, factor: u32) {
        self.lfu_log_factor.store(factor, Relaxed);
    }

    /// Largest memcached item in bytes.
    pub fn item_bytes_max(&self) -> usize {
        self.item_bytes_max.load(Relaxed) as usize
    }

    pub fn set_item_bytes_max(&self, bytes: u64) {
        self.item_bytes_max.store(bytes, Relaxed);
    }

    /// Longest string in bytes (`proto-max-bulk-len`).
    pub fn string_bytes_max(&self) -> usize {
        self.string_bytes_max.load(Relaxed) as usize
    }

    pub fn set_string_bytes_max(&self, bytes: u64) {
        self.string_bytes_max.store(bytes, Relaxed);
    }
}

/// One cache's key space on one node. Shared by all workers.
pub struct Engine {
    stripes: Box<[Stripe]>,
    heap: Heap,
    hasher: Hasher,
    settings: Settings,
    used_bytes: AtomicI64,
    used_peak_bytes: AtomicI64,
    /// Where each of the 16 databases lives, four bits each: SWAPDB is one store.
    pub(crate) databases: AtomicU64,
    /// Whether a memcached client ever wrote here.
    has_memcached: AtomicBool,
    next_cas: AtomicU64,
    next_observer: AtomicU64,
    leftovers: Arc<Leftovers>,
    helpers: OnceLock<Helpers>,
    scripts: Scripts,
    abandoned: Arc<Abandoned>,
    tracking: Arc<Tracking>,
    channels: OnceLock<Arc<dyn Channels>>,
    pub(crate) notifier: OnceLock<Notifier>,
    pub(crate) waiters: Arc<Waiters>,
}

/// What one worker keeps of its own beside the engine: free blocks, unreported counts, the eviction pool.
pub struct Local {
    pub(crate) heap: HeapLocal,
    pub(crate) unreported_bytes: i64,
    pub(crate) pool: Pool,
    pub(crate) garbage: Garbage,
    /// The rest of the reply of the command that has just run.
    pub(crate) deferred: Option<Box<Deferred>>,
    /// The Lua state of this worker's scripts, once there was one.
    pub(crate) machine: Option<Box<ScriptMachine>>,
    /// A unit runs: nothing may be evicted.
    pub(crate) in_unit: bool,
    /// Whose scripts run here, if that user may not do everything.
    pub(crate) script_user: Option<Arc<User>>,
    /// Keys that somebody waits for and that the command has made ready.
    pub(crate) ready: VecDeque<Ready>,
    /// Whom to wake once no lock is held.
    pub(crate) wakers: Vec<Waker>,
    /// The next request that waits has done so elsewhere, since then (unix microseconds); 0: it has not.
    pub(crate) waits_since_us: u64,
    /// A compact value on its way through a command.
    scratch: Vec<u8>,
    /// Where this worker goes on packing memory.
    pub(crate) packing: UpkeepCursor,
    pub(crate) fullest_stripe: u64,
    random: u64,
    /// Counts since the last [`Local::take_stats`].
    pub stats: Stats,
}

/// What happened to keys; every field only grows between two drains.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub hits: u64,
    pub misses: u64,
    pub expired_keys: u64,
    pub evicted_keys: u64,
    pub memcached: [u64; McStat::COUNT],
}

impl Stats {
    /// Adds another count.
    pub fn add(&mut self, other: &Stats) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.expired_keys += other.expired_keys;
        self.evicted_keys += other.evicted_keys;
        self.memcached.iter_mut().zip(other.memcached).for_each(|(sum, more)| *sum += more);
    }

    /// Takes an earlier count away; where a node has begun anew since then nothing is left.
    pub fn subtract(&mut self, other: &Stats) {
        self.hits = self.hits.saturating_sub(other.hits);
        self.misses = self.misses.saturating_sub(other.misses);
        self.expired_keys = self.expired_keys.saturating_sub(other.expired_keys);
        self.evicted_keys = self.evicted_keys.saturating_sub(other.evicted_keys);
        let counters = self.memcached.iter_mut().zip(other.memcached);
        counters.for_each(|(count, less)| *count = count.saturating_sub(less));
    }
}

impl Engine {
    /// An empty key space. `seed` is the cache's hash seed, the same on all its nodes.
    pub fn new(seed: u64) -> Engine {
        let identity = (0..DATABASES as u64).fold(0, |map, db| map | db << (4 * db));
        Engine {
            stripes: (0..STRIPES).map(|_| Stripe::default()).collect(),
            heap: Heap::new(),
            hasher: Hasher::new(seed),
            settings: Settings::default(),
            used_bytes: AtomicI64::new(0),
            used_peak_bytes: AtomicI64::new(0),
            databases: AtomicU64::new(identity),
            has_memcached: AtomicBool::new(false),
            next_cas: AtomicU64::new(1),
            next_observer: AtomicU64::new(0),
            leftovers: Arc::default(),
            helpers: OnceLock::new(),
            scripts: Scripts::default(),
            abandoned: Arc::default(),
            tracking: Arc::new(Tracking::new()),
            channels: OnceLock::new(),
            notifier: OnceLock::new(),
            waiters: Arc::default(),
        }
    }

    /// What one worker needs to call the engine. `seed` is for its random choices.
    pub fn local(&self, seed: u64) -> Local {
        Local {
            heap: HeapLocal::new(),
            unreported_bytes: 0,
            pool: Pool::default(),
            garbage: Garbage::default(),
            deferred: None,
            machine: None,
            in_unit: false,
            script_user: None,
            ready: VecDeque::new(),
            wakers: Vec::new(),
            waits_since_us: 0,
            scratch: Vec::new(),
            packing: UpkeepCursor::default(),
            fullest_stripe: 0,
            random: seed | 1,
            stats: Stats::default(),
        }
    }

    /// From now on what is much runs on these helpers' threads; before that, on the caller's. Only the first call counts.
    pub fn use_helpers(&self, helpers: Helpers) {
        let _ = self.helpers.set(helpers);
    }

    /// From now on messages go there; before that, to nobody. Only the first call counts.
    pub fn use_channels(&self, channels: Arc<dyn Channels>) {
        let _ = self.channels.set(channels);
    }

    /// Where messages go.
    pub fn channels(&self) -> Option<&dyn Channels> {
        self.channels.get().map(|channels| &**channels)
    }

    pub(crate) fn helpers(&self) -> Option<&Helpers> {
        self.helpers.get()
    }

    /// Scripts and functions.
    #[inline]
    pub fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    /// Settings that may change while running.
    #[inline]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The hash of keys.
    #[inline]
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// A stripe by its index.
    #[inline]
    pub fn stripe(&self, index: usize) -> &Stripe {
        &self.stripes[index]
    }

    /// Bytes of entries and tables, accurate to 16 KiB per worker, of the slots that count: not of those that are being
    /// imported or were handed over, which another node counts.
    pub fn used_bytes(&self) -> u64 {
        let uncounted: i64 = self.stripes.iter().map(Stripe::uncounted_bytes).sum();
        (self.used_bytes.load(Relaxed) - uncounted).max(0) as u64
    }

    /// The same of all slots: what this node has to hold.
    pub fn held_bytes(&self) -> u64 {
        self.used_bytes.load(Relaxed).max(0) as u64
    }

    /// The most [`Engine::used_bytes`] ever was.
    pub fn used_peak_bytes(&self) -> u64 {
        self.used_peak_bytes.load(Relaxed).max(self.used_bytes.load(Relaxed)).max(0) as u64
    }

    /// What the heap holds and what of it is in use.
    pub fn heap_stats(&self) -> HeapStats {
        self.heap.stats()
    }

    /// The heap itself, for upkeep.
    pub(crate) fn heap(&self) -> &Heap {
        &self.heap
    }

    /// Who is told what is stale.
    pub(crate) fn tracking(&self) -> &Arc<Tracking> {
        &self.tracking
    }

    /// Watched keys that nobody watches any longer.
    pub(crate) fn abandoned(&self) -> &Arc<Abandoned> {
        &self.abandoned
    }

    /// Snapshots that nobody reads any longer.
    pub(crate) fn leftovers(&self) -> &Arc<Leftovers> {
        &self.leftovers
    }

    /// How full this engine's share of the cache is. What is stored counts, and so does what the heap holds in vain beyond the maximum (after
    /// many changes of size, until upkeep has moved entries together): less is stored meanwhile, down to
    /// three quarters.
    #[inline]
    pub fn fullness(&self, local: &Local) -> Fullness {
        let max = self.settings.maxmemory_bytes();
        if max == 0 {
            return Fullness::Room;
        }
        let used = self.held_with(local);
        let excess = (self.heap.resident_bytes() as u64).saturating_sub(max);
        if used > max {
            Fullness::Full
        } else if excess > 0 && used + excess.min(max / SPARSE_STORED_PART) > max {
            Fullness::Sparse
        } else {
            Fullness::Room
        }
    }

    /// Whether so many bytes more would pass the whole cache's maximum. Imports ask this, and not for this engine's share:
    /// slots do not hold equally much, and what is taken in here goes elsewhere.
    #[inline]
    pub fn would_pass(&self, local: &Local, more: usize) -> bool {
        let max = self.settings.maxmemory_total_bytes();
        max != 0 && self.held_with(local) + more as u64 > max
    }

    #[inline]
    fn held_with(&self, local: &Local) -> u64 {
        (self.used_bytes.load(Relaxed) + local.unreported_bytes).max(0) as u64
    }

    /// Notes the peak of used memory; upkeep calls this several times a second.
    pub fn note_peak(&self) {
        self.used_peak_bytes.fetch_max(self.used_bytes.load(Relaxed), Relaxed);
    }

    /// Whether the heap holds so much more than is stored that moving entries together is worth it.
    pub fn is_sparse(&self) -> bool {
        let used = self.held_bytes();
        self.heap.resident_bytes() as u64 > used + used / SPARSE_PART + SPARSE_BYTES
    }

    /// Puts well-filled memory into huge pages, a little at a time; says whether there was any.
    pub fn use_huge_pages(&self) -> bool {
        self.heap.use_huge_pages(1) > 0
    }

    /// Where a client's database lives now.
    #[inline]
    pub fn map_db(&self, logical: Db) -> Db {
        let map = self.databases.load(Relaxed);
        Db::new((map >> (4 * logical.number()) & 0xf) as i64).unwrap_or(logical)
    }

    /// Exchanges two databases. The caller holds all stripes' locks.
    pub(crate) fn swap_db(&self, one: Db, other: Db) {
        let map = self.databases.load(Relaxed);
        let (at_one, at_other) = (4 * one.number(), 4 * other.number());
        let difference = (map >> at_one ^ map >> at_other) & 0xf;
        self.databases.store(map ^ difference << at_one ^ difference << at_other, Relaxed);
    }

    /// Whether a memcached client ever wrote here.
    pub(crate) fn has_memcached(&self) -> bool {
        self.has_memcached.load(Relaxed)
    }

    /// A memcached client writes.
    #[inline]
    pub(crate) fn note_memcached(&self) {
        if !self.has_memcached.load(Relaxed) {
            self.has_memcached.store(true, Relaxed);
        }
    }

    /// A memcached unique that was never given out before.
    pub(crate) fn fresh_cas(&self) -> u64 {
        self.next_cas.fetch_add(1, Relaxed)
    }

    /// Memcached uniques given out from now on are above this: each node of a cache has a base of its own, so that an
    /// entry that moves never meets its unique on another value.
    pub fn set_cas_base(&self, base: u64) {
        self.next_cas.store(base + 1, Relaxed);
    }

    /// Lets somebody follow a stripe, by an id from [`Engine::observer_id`]. The stripe's lock must not be held.
    pub fn follow(&self, stripe: usize, id: ObserverId, observer: Box<dyn Observer>) {
        let stripe = self.stripe(stripe);
        let _held = stripe.hold_patiently();
        // SAFETY: the lock is held.
        unsafe { stripe.data() }.observer.get_or_insert_default().add(id, observer);
    }

    /// Nobody of this id follows the stripe any longer. The stripe's lock must not be held.
    pub fn unfollow(&self, stripe: usize, id: ObserverId) {
        let stripe = self.stripe(stripe);
        let _held = stripe.hold_patiently();
        // SAFETY: the lock is held.
        let observers = &mut unsafe { stripe.data() }.observer;
        if let Some(followed) = observers {
            followed.remove(id);
        }
        if observers.as_ref().is_some_and(|followed| followed.is_empty()) {
            *observers = None;
        }
    }

    /// A name for somebody who will follow stripes.
    pub fn observer_id(&self) -> ObserverId {
        ObserverId(self.next_observer.fetch_add(1, Relaxed))
    }

    /// Reports what a worker has not reported yet; upkeep and INFO want exact figures.
    pub fn report(&self, local: &mut Local) {
        self.used_bytes.fetch_add(std::mem::take(&mut local.unreported_bytes), Relaxed);
    }

    /// Gives back free blocks that a worker has not needed for a while; upkeep calls this about once a second.
    pub fn trim(&self, local: &mut Local) {
        self.report(local);
        local.heap.trim(&self.heap);
    }

    /// A worker leaves: its free blocks and counts go back.
    pub fn retire(&self, local: &mut Local) {
        if let Some(machine) = local.machine.take() {
            self.scripts.give_machine(machine);
        }
        while self.free_garbage(local, u64::MAX) {}
        self.report(local);
        local.heap.flush(&self.heap);
    }

    /// Adds to the used bytes.
    #[inline]
    pub(crate) fn account(&self, local: &mut Local, bytes: i64) {
        local.unreported_bytes += bytes;
        if local.unreported_bytes.unsigned_abs() > ACCOUNT_SLACK_BYTES as u64 {
            self.report(local);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let mut local = self.local(1);
        for stripe in &self.stripes {
            // SAFETY: `&mut self`: nobody else is here.
            for directory in all_dbs().filter_map(|db| unsafe { stripe.directory(db) }) {
                directory.tables.iter_mut().for_each(|table| local.garbage.push(std::mem::take(table)));
            }
        }
        self.retire(&mut local);
    }
}

impl Local {
    /// An empty buffer, mostly with room.
    #[inline]
    pub(crate) fn scratch(&mut self) -> Vec<u8> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch
    }

    /// Keeps a buffer for the next who asks for one.
    #[inline]
    pub(crate) fn keep_scratch(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() > self.scratch.capacity() && buffer.capacity() <= 2 * COMPACT_BYTES_MAX {
            self.scratch = buffer;
        }
    }

    /// The rest of the reply of the command that has just run, after [`Outcome::Deferred`](crate::run::Outcome::Deferred).
    pub fn take_deferred(&mut self) -> Option<Box<Deferred>> {
        self.deferred.take()
    }

    /// The next request that has to wait has done so elsewhere before, since then (unix microseconds), and keeps its place;
    /// 0: it has not.
    pub fn waits_since(&mut self, since_us: u64) {
        self.waits_since_us = since_us;
    }

    /// Scripts that run from now on may do what this user may; nobody: everything.
    pub fn set_script_user(&mut self, user: Option<Arc<User>>) {
        self.script_user = user;
    }

    /// The counts since the last call.
    pub fn take_stats(&mut self) -> Stats {
        std::mem::take(&mut self.stats)
    }

    /// A pseudo-random number (xorshift64*: sampling needs speed, not secrecy).
    #[inline]
    pub fn random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Counts a memcached statistic that happens outside the engine.
    pub fn count(&mut self, stat: McStat) {
        self.stats.memcached[stat.index()] += 1;
    }
}

/// Where tables get their arrays from.
pub(crate) struct Arrays<'a> {
    pub heap: &'a Heap,
    pub local: &'a mut HeapLocal,
}

impl ArrayAlloc for Arrays<'_> {
    fn alloc(&mut self, bytes: usize) -> NonNull<u8> {
        self.local.alloc(self.heap, bytes)
    }

    unsafe fn free(&mut self, array: NonNull<u8>, bytes: usize) {
        // SAFETY: as the caller promises.
        unsafe { self.local.free(self.heap, array, bytes) }
    }
}

/// Bytes an allocation of this size takes.
#[inline]
pub(crate) fn rounded(bytes: usize) -> usize {
    heap::rounded(bytes)
}
