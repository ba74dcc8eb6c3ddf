//! The source's end of a stream: walks the group, follows its changes, seals it, and hands out bytes to be sent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swell_engine::Db;
use swell_engine::effect::{Effect, Observer, ObserverId};
use swell_engine::entry::Entry;
use swell_engine::gate::Gate;
use swell_engine::import::Export;
use swell_engine::key::{DATABASES, Hasher};
use swell_engine::stripe::stripe_of;
use swell_ring::{Slot, SlotSet};
use swell_wire::SEGMENT_BYTES;

use super::StreamError;
use super::record::{self, End};
use super::spool::{Item, LongValue, Origin, Queue, SPOOL_BYTES_MAX, SPOOL_BYTES_SNAPSHOT_MAX, Spool};
use crate::embedded::Node;

/// Keys copied under one lock of a stripe, about; some 30 µs.
const KEYS_PER_LOCK: usize = 128;
/// Bytes copied under one lock, about.
const BYTES_PER_LOCK: usize = 32 * 1024;
/// Keys between two looks at those bytes.
const KEYS_PER_PART: usize = 8;
/// Bytes that a piece of a long record has beyond its content, at most.
const PIECE_HEAD_BYTES: usize = 8;
/// Capacity that is kept from one part of a large value to the next.
const PART_KEPT_MAX: usize = 1024 * 1024;
/// What is said of a large value that is not at its end, at least: more than may wait when a group is sealed.
const LARGE_UNSENT_MIN: usize = 128 * 1024;

/// A group of slots on its way out. Streams of groups that share a stripe may run side by side; no slot may be in two.
///
/// Everything here may be called from one control thread; workers only ever meet the spool. Dropping it ends it: a
/// group that is sealed and not released is served again.
pub struct Outgoing {
    node: Arc<Node>,
    shared: Arc<Shared>,
    follower: ObserverId,
    /// Where the walk goes on; nothing: it is over.
    next: Option<Place>,
    /// What is being sent in pieces.
    long: Option<Long>,
    phase: Phase,
    keys: u64,
    bytes_taken: u64,
}

/// How far a stream is. Exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Keys of the snapshot so far.
    pub keys: u64,
    /// Bytes handed out so far.
    pub bytes_taken: u64,
    /// Whether the snapshot is complete.
    pub copied: bool,
    /// Bytes that wait to be handed out.
    pub spool_bytes: u64,
}

/// What a call of [`Outgoing::pump`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pumped {
    /// There is more to copy.
    More,
    /// There is more to copy, once something has been taken.
    Waits,
    /// Everything has been copied: seal it.
    Copied,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Copying,
    Sealed,
    Released,
    Over,
}

/// Where the walk is: everything before it has been put into the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    slot: Slot,
    db: u8,
    /// The upper 32 bits of the first hash that is to come.
    rank: u32,
}

/// What the owner shares with the stripes' observers.
struct Shared {
    slots: SlotSet,
    hasher: Hasher,
    /// The walk's [`Place`] as a number. Its part within a stripe changes under that stripe's lock only, so whoever
    /// holds a stripe's lock knows exactly which keys of it have been passed.
    passed: AtomicU64,
    /// Whether changes still matter.
    live: AtomicBool,
    spool: Mutex<Spool>,
}

/// One stripe's observer.
struct Follower(Arc<Shared>);

/// A long record under way.
struct Long {
    head: Vec<u8>,
    head_sent: usize,
    value: LongValue,
    /// Where the value goes on; nothing: it is all written.
    next: Option<usize>,
    /// A part of a large value that is written, and how much of it is sent.
    part: Vec<u8>,
    part_sent: usize,
    value_sent: usize,
}

/// What a piece of a long record is.
#[derive(Clone, Copy)]
enum Piece {
    Head,
    Segment,
    /// A part of a large value, or the rest of it.
    Part,
    /// Not all of a part.
    More,
    /// There is none.
    End,
}

impl Outgoing {
    /// Begins to follow a group of slots that are served here.
    pub fn begin(node: &Arc<Node>, slots: &SlotSet) -> Outgoing {
        Self::with_spool(node, slots, SPOOL_BYTES_MAX)
    }

    /// As [`Outgoing::begin`], with a spool of another size.
    pub fn with_spool(node: &Arc<Node>, slots: &SlotSet, spool_bytes_max: usize) -> Outgoing {
        let next = slots.next_from(0).map(Place::start);
        let shared = Arc::new(Shared {
            slots: slots.clone(),
            hasher: *node.engine().hasher(),
            passed: AtomicU64::new(next.map_or(u64::MAX, Place::number)),
            live: AtomicBool::new(true),
            spool: Mutex::new(Spool::new(spool_bytes_max)),
        });
        let follower = node.engine().observer_id();
        for stripe in shared.stripes() {
            node.engine().follow(stripe, follower, Box::new(Follower(shared.clone())));
        }
        Outgoing {
            node: node.clone(),
            shared,
            follower,
            next,
            long: None,
            phase: Phase::Copying,
            keys: 0,
            bytes_taken: 0,
        }
    }

    /// The group.
    pub fn slots(&self) -> &SlotSet {
        &self.shared.slots
    }

    /// Copies about so many keys into the spool, fewer while that has enough. Takes one stripe's lock at a time, and
    /// waits for it: for a control thread.
    ///
    /// # Errors
    /// The stream has failed: the spool is full; or it is over.
    pub fn pump(&mut self, keys_max: usize) -> Result<Pumped, StreamError> {
        self.check_live()?;
        let end = self.keys + keys_max as u64;
        while let Some(place) = self.next {
            if self.unsent() > SPOOL_BYTES_SNAPSHOT_MAX {
                return Ok(Pumped::Waits);
            }
            if self.keys >= end {
                return Ok(Pumped::More);
            }
            self.copy_some(place);
        }
        Ok(Pumped::Copied)
    }

    /// Hands out records that belong together in one frame: appends up to `bytes_max` bytes to `out` (at least one
    /// record if there is any, which may have some 64 KiB) and returns how many. 0: there is nothing to send now.
    ///
    /// # Errors
    /// The stream has failed: the spool is full; or it is over.
    pub fn take(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> Result<usize, StreamError> {
        self.check_live()?;
        let start = out.len();
        loop {
            let taken = out.len() - start;
            if let Some(long) = &mut self.long {
                if !long.take(out, taken, bytes_max) {
                    break;
                }
                self.long = None;
                continue;
            }
            let room = if taken == 0 { usize::MAX } else { bytes_max.saturating_sub(taken) };
            if room == 0 {
                break;
            }
            match self.shared.spool().pop(room) {
                Some(Item::Records(bytes)) => out.extend_from_slice(&bytes),
                Some(Item::Long { head, value }) => self.long = Some(Long::new(head, value)),
                None => break,
            }
        }
        let taken = out.len() - start;
        self.bytes_taken += taken as u64;
        Ok(taken)
    }

    /// Seals the group: from here on nothing in it changes. What is left to send, and the counts, can be taken after
    /// this; then [`Outgoing::is_drained`].
    ///
    /// The counts are keys by slot, and the number of records: a digest of the content would have to read every key
    /// while writers wait, and what it could find (a byte that changed on the way) the link's transport has excluded.
    ///
    /// # Errors
    /// Not everything has been copied, the spool was full, or it is over.
    pub fn seal(&mut self) -> Result<(), StreamError> {
        self.check_live()?;
        if self.next.is_some() {
            return Err(StreamError::NotCopied);
        }
        if self.phase != Phase::Copying {
            return Err(StreamError::Over);
        }
        self.set_gates(Gate::Sealed);
        self.phase = Phase::Sealed;
        // The last change may just have been one too many.
        self.check_live()?;
        let keys = self.shared.slots.iter().map(|slot| (slot, self.node.engine().slot_keys(slot))).collect();
        let mut queue = Queue::default();
        let mut spool = self.shared.spool();
        let end = End { records: spool.records(), keys };
        queue.record(Origin::Snapshot, |out| {
            record::end(&end, out);
            None
        });
        spool.append(queue);
        Ok(())
    }

    /// Whether it is sealed and everything has been taken.
    pub fn is_drained(&self) -> bool {
        self.phase == Phase::Sealed && self.unsent() == 0
    }

    /// Serves the group again. This stream is over, for its last record has been written: a retry begins anew.
    /// Does nothing unless it is sealed.
    pub fn unseal(&mut self) {
        if self.phase == Phase::Sealed {
            self.set_gates(Gate::Serving);
            self.stop(Phase::Over);
        }
    }

    /// The group is not served here any more, from now on and whatever becomes of this value. Only a sealed group can
    /// be released; says whether it was.
    pub fn release(&mut self) -> bool {
        if self.phase != Phase::Sealed {
            return self.phase == Phase::Released;
        }
        self.set_gates(Gate::Released);
        self.stop(Phase::Released);
        true
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        Progress {
            keys: self.keys,
            bytes_taken: self.bytes_taken,
            copied: self.next.is_none(),
            spool_bytes: self.unsent() as u64,
        }
    }

    /// Follows no longer and forgets what is unsent. A group that is sealed is served again, one that was released is
    /// not. The same as dropping it.
    pub fn finish(self) {}

    /// As [`Outgoing::finish`], but leaves the gates as they are, sealed or not: for an owner that sets them itself.
    pub fn cut(mut self) {
        self.stop(Phase::Over);
    }

    /// One lock's worth of the walk.
    fn copy_some(&mut self, mut place: Place) {
        let stripe = stripe_of(place.slot);
        let export = self.node.engine().export(stripe);
        let mut queue = Queue::default();
        let mut keys = 0;
        let mut next = Some(place);
        while let Some(here) = next.filter(|here| stripe_of(here.slot) == stripe) {
            if keys >= KEYS_PER_LOCK || queue.bytes() >= BYTES_PER_LOCK {
                break;
            }
            place = here;
            let Some(db) = Db::new(i64::from(place.db)) else { break };
            let rank = export.part(place.slot, db, place.rank, KEYS_PER_PART, |entry| {
                keys += 1;
                queue.record(Origin::Snapshot, |out| record::put(db, &entry, out));
            });
            next = match rank {
                Some(rank) => Some(Place { rank, ..place }),
                None => self.shared.after(place),
            };
        }
        self.keys += keys as u64;
        self.shared.pass(&export, next, queue);
        self.next = next;
    }

    fn unsent(&self) -> usize {
        self.shared.spool().bytes() + self.long.as_ref().map_or(0, Long::unsent)
    }

    fn check_live(&mut self) -> Result<(), StreamError> {
        if self.shared.live.load(Relaxed) {
            return Ok(());
        }
        let spool_full = self.shared.spool().is_full();
        self.empty();
        Err(if spool_full { StreamError::SpoolFull } else { StreamError::Over })
    }

    fn set_gates(&self, gate: Gate) {
        self.shared.slots.iter().for_each(|slot| self.node.engine().stripe(stripe_of(slot)).set_gate(slot, gate));
    }

    fn stop(&mut self, phase: Phase) {
        self.phase = phase;
        self.shared.live.store(false, Relaxed);
        self.empty();
    }

    fn empty(&mut self) {
        self.long = None;
        // Freed after the mutex is given back.
        let queue = self.shared.spool().clear();
        drop(queue);
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.unseal();
        self.shared.live.store(false, Relaxed);
        for stripe in self.shared.stripes() {
            self.node.engine().unfollow(stripe, self.follower);
        }
    }
}

impl Shared {
    fn spool(&self) -> MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stripes(&self) -> Vec<usize> {
        let mut stripes: Vec<usize> = self.slots.iter().map(stripe_of).collect();
        stripes.dedup();
        stripes
    }

    /// Where the walk goes on when a database of a slot is done.
    fn after(&self, place: Place) -> Option<Place> {
        if usize::from(place.db) + 1 < DATABASES {
            return Some(Place { db: place.db + 1, rank: 0, ..place });
        }
        self.slots.next_from(place.slot.index() + 1).map(Place::start)
    }

    /// The walk has come to `next`, and this is what it found on the way. While the lock is held: whoever changes one
    /// of these keys next finds it passed, and comes behind it.
    fn pass(&self, _locked: &Export<'_>, next: Option<Place>, found: Queue) {
        self.passed.store(next.map_or(u64::MAX, Place::number), Relaxed);
        self.spool().append(found);
    }

    /// Whether the walk has begun with a slot's database.
    fn has_begun(&self, slot: Slot, db: Db) -> bool {
        self.passed.load(Relaxed) > Place { slot, db: db.number(), rank: 0 }.number()
    }

    /// Whether the walk has passed a key, so that its changes must follow.
    fn has_passed(&self, slot: Slot, db: Db, key: &[u8]) -> bool {
        let start = Place { slot, db: db.number(), rank: 0 }.number();
        match self.passed.load(Relaxed).checked_sub(start) {
            None | Some(0) => false,
            Some(passed) if passed > u64::from(u32::MAX) => true,
            Some(passed) => self.hasher.hash(key) >> 32 < passed,
        }
    }

    fn effect(&self, write: impl FnOnce(&mut Vec<u8>) -> Option<LongValue>) {
        if !self.spool().effect(write) {
            self.live.store(false, Relaxed);
        }
    }

    #[inline]
    fn concerns(&self, slot: Slot) -> bool {
        self.slots.contains(slot) && self.live.load(Relaxed)
    }
}

impl Observer for Follower {
    fn before(&mut self, _: Slot, _: Db, _: &[u8], _: Option<Entry<'_>>) {}

    fn after(&mut self, slot: Slot, db: Db, key: &[u8], effect: &Effect<'_>) {
        if self.0.concerns(slot) && self.0.has_passed(slot, db, key) {
            self.0.effect(|out| record::effect(db, key, effect, out));
        }
    }

    fn cleared(&mut self, slot: Slot, db: Db) {
        if self.0.concerns(slot) && self.0.has_begun(slot, db) {
            self.0.effect(|out| {
                record::clear(slot, db, out);
                None
            });
        }
    }

    // Nobody reads the target before the end, so what belongs together need not come together.
    fn unit_begin(&mut self) {}

    fn unit_end(&mut self) {}
}

impl Place {
    fn start(slot: Slot) -> Place {
        Place { slot, db: 0, rank: 0 }
    }

    /// Rises along the walk. A rank has 33 bits, so that the end of a database is not the next one's beginning.
    fn number(self) -> u64 {
        (u64::from(self.slot.number()) << 4 | u64::from(self.db)) << 33 | u64::from(self.rank)
    }
}

impl Long {
    fn new(head: Vec<u8>, value: LongValue) -> Long {
        Long { head, head_sent: 0, value, next: Some(0), part: Vec::new(), part_sent: 0, value_sent: 0 }
    }

    /// Bytes that are still to be sent, about. A large value's parts may be longer than its pages: before its end it is
    /// never nearly sent.
    fn unsent(&self) -> usize {
        let least = match self.value {
            LongValue::Large(_) if self.next.is_some() => LARGE_UNSENT_MIN,
            LongValue::Large(_) => self.part.len() - self.part_sent,
            LongValue::Segments(_) => 0,
        };
        self.head.len() - self.head_sent + self.value.bytes().saturating_sub(self.value_sent).max(least) + 1
    }

    /// Writes pieces while there is room; says whether it is complete.
    fn take(&mut self, out: &mut Vec<u8>, taken: usize, bytes_max: usize) -> bool {
        let start = out.len() - taken;
        loop {
            self.write_part();
            let (kind, piece) = self.piece();
            let taken = out.len() - start;
            if taken > 0 && taken + piece.len() + PIECE_HEAD_BYTES > bytes_max {
                return false;
            }
            let len = piece.len();
            match kind {
                Piece::Head => {
                    record::long_head(piece, out);
                    self.head_sent += len;
                    continue;
                }
                Piece::Segment => {
                    record::long_part(piece, out);
                    self.next = self.next.map(|at| at + 1);
                }
                Piece::Part => record::long_part(piece, out),
                Piece::More => record::long_more(piece, out),
                Piece::End => {
                    record::long_end(out);
                    return true;
                }
            }
            self.part_sent += len;
            self.value_sent += len;
        }
    }

    /// What is to be sent next.
    fn piece(&self) -> (Piece, &[u8]) {
        let head = &self.head[self.head_sent..];
        if !head.is_empty() {
            return (Piece::Head, &head[..head.len().min(SEGMENT_BYTES)]);
        }
        match &self.value {
            LongValue::Segments(segments) => match self.next.and_then(|at| segments.parts().get(at)) {
                Some(part) => (Piece::Segment, part.as_slice()),
                None => (Piece::End, &[]),
            },
            LongValue::Large(_) => match &self.part[self.part_sent..] {
                [] => (Piece::End, &[]),
                rest if rest.len() > SEGMENT_BYTES => (Piece::More, &rest[..SEGMENT_BYTES]),
                rest => (Piece::Part, rest),
            },
        }
    }

    /// Has a large value write its next part, unless there is one or the value is at its end.
    fn write_part(&mut self) {
        let LongValue::Large(large) = &self.value else { return };
        if self.part_sent < self.part.len() {
            return;
        }
        // One with an element of many megabytes is not kept for the next, which is short.
        self.part = if self.part.capacity() > PART_KEPT_MAX { Vec::new() } else { std::mem::take(&mut self.part) };
        self.part.clear();
        self.part_sent = 0;
        while self.part.is_empty()
            && let Some(at) = self.next
        {
            self.next = large.as_ref().write_part(at, &mut self.part);
        }
    }
}
