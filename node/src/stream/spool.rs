//! What a stream has yet to send: one FIFO of encoded records, filled under the stripes' locks, emptied by whoever owns
//! the stream. Its mutex is held for moments only: snapshots are encoded before and pushed as a whole, effects are at
//! most 64 KiB, and a piece is taken out as a whole.

use std::collections::VecDeque;

use swell_engine::value::LargeBox;
use swell_wire::Segments;

/// Bytes of unsent changes at most; more, and the stream has failed: writers never wait for it.
pub const SPOOL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The snapshot stops while more bytes than this are unsent.
pub const SPOOL_BYTES_SNAPSHOT_MAX: usize = 1024 * 1024;
/// Bytes of records that lie together, unless a single one is longer.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Longest record that goes in one piece: a value of 64 KiB with an ordinary key.
const RECORD_BYTES_MAX: usize = CHUNK_BYTES + 4 * 1024;

/// A piece of the FIFO.
#[derive(Debug)]
pub enum Item {
    /// Whole records.
    Records(Vec<u8>),
    /// A record that goes in pieces, with a value that may be pinned meanwhile: whoever writes to it copies the
    /// segments, or pages, that it writes to.
    Long { head: Vec<u8>, value: LongValue },
}

/// A value that goes in pieces.
#[derive(Debug)]
pub enum LongValue {
    Segments(Segments),
    Large(LargeBox),
}

impl LongValue {
    /// Bytes of it: of a large value those that it holds, about as many as it will send.
    pub fn bytes(&self) -> usize {
        match self {
            LongValue::Segments(segments) => segments.len(),
            LongValue::Large(large) => large.as_ref().heap_bytes(),
        }
    }
}

/// Encoded records in order.
#[derive(Debug, Default)]
pub struct Queue {
    items: VecDeque<(Item, Origin)>,
    bytes: usize,
    effects: Effects,
    records: u64,
}

/// What of a queue writers have put there.
#[derive(Clone, Copy, Debug, Default)]
struct Effects {
    /// Records and heads.
    bytes: usize,
    /// Values that are sent in pieces, and their bytes.
    values: usize,
    value_bytes: usize,
}

/// Where an item comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The owner's walk, which stops by itself.
    Snapshot,
    /// Writers, who do not.
    Effect,
}

/// The FIFO between writers and the stream's owner.
#[derive(Debug)]
pub struct Spool {
    queue: Queue,
    bytes_max: usize,
    is_full: bool,
}

impl Item {
    /// Bytes of it, a pinned value's included.
    pub fn bytes(&self) -> usize {
        match self {
            Item::Records(bytes) => bytes.len(),
            Item::Long { head, value } => head.len() + value.bytes(),
        }
    }

    fn value_bytes(&self) -> usize {
        match self {
            Item::Records(_) => 0,
            Item::Long { value, .. } => value.bytes(),
        }
    }
}

impl Queue {
    /// Adds the record that `write` writes; it returns the value that belongs after it.
    #[inline]
    pub fn record(&mut self, origin: Origin, write: impl FnOnce(&mut Vec<u8>) -> Option<LongValue>) {
        self.records += 1;
        let mut last = match self.items.back_mut() {
            Some((Item::Records(bytes), same)) if *same == origin && bytes.len() < CHUNK_BYTES => std::mem::take(bytes),
            _ => {
                self.items.push_back((Item::Records(Vec::new()), origin));
                Vec::new()
            }
        };
        let start = last.len();
        let value = write(&mut last);
        let written = last.len() - start;
        let value_bytes = value.as_ref().map_or(0, LongValue::bytes);
        self.bytes += written + value_bytes;
        if origin == Origin::Effect {
            self.effects.bytes += written;
            self.effects.value_bytes += value_bytes;
            self.effects.values += usize::from(value_bytes > 0);
        }
        let own = (value.is_some() || written > RECORD_BYTES_MAX || (start > 0 && last.len() > CHUNK_BYTES))
            .then(|| last.split_off(start));
        if let Some((Item::Records(bytes), _)) = self.items.back_mut() {
            *bytes = last;
        }
        let Some(own) = own else { return };
        if start == 0 {
            self.items.pop_back();
        }
        let item = match value {
            Some(value) => Item::Long { head: own, value },
            None if own.len() > RECORD_BYTES_MAX => {
                Item::Long { head: own, value: LongValue::Segments(Segments::new()) }
            }
            None => Item::Records(own),
        };
        self.items.push_back((item, origin));
    }

    /// Bytes of all of it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn pop(&mut self) -> Option<Item> {
        let (item, origin) = self.items.pop_front()?;
        self.bytes -= item.bytes();
        if origin == Origin::Effect {
            let value_bytes = item.value_bytes();
            self.effects.bytes -= item.bytes() - value_bytes;
            self.effects.value_bytes -= value_bytes;
            self.effects.values -= usize::from(value_bytes > 0);
        }
        Some(item)
    }
}

impl Effects {
    /// Whether it is too much. A single value may be as long as it likes, beside others: its segments or pages are
    /// there anyway.
    fn pass(&self, bytes_max: usize) -> bool {
        self.bytes > bytes_max || (self.values > 1 && self.value_bytes > bytes_max)
    }
}

impl Spool {
    /// An empty spool that takes so many bytes of unsent changes.
    pub fn new(bytes_max: usize) -> Spool {
        Spool { queue: Queue::default(), bytes_max, is_full: false }
    }

    /// Adds a snapshot's records, none of them effects.
    pub fn append(&mut self, mut queue: Queue) {
        self.queue.items.append(&mut queue.items);
        self.queue.bytes += queue.bytes;
        self.queue.records += queue.records;
    }

    /// Adds a change, if there is room; says whether there was. A single one always finds room, however long.
    pub fn effect(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Option<LongValue>) -> bool {
        if self.is_full {
            return false;
        }
        let was_empty = self.queue.effects.bytes == 0;
        self.queue.record(Origin::Effect, write);
        self.is_full = self.queue.effects.pass(self.bytes_max) && !was_empty;
        !self.is_full
    }

    /// Takes the front off, if it has at most so many bytes, or is long.
    pub fn pop(&mut self, bytes_max: usize) -> Option<Item> {
        match self.queue.items.front() {
            Some((Item::Records(bytes), _)) if bytes.len() > bytes_max => None,
            _ => self.queue.pop(),
        }
    }

    /// Whether there was no room for a change: what is in it is worth nothing.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Unsent bytes, pinned values included.
    pub fn bytes(&self) -> usize {
        self.queue.bytes
    }

    /// Records that were ever added.
    pub fn records(&self) -> u64 {
        self.queue.records
    }

    /// Empties it. What was in it comes back, to be freed outside the lock.
    pub fn clear(&mut self) -> Queue {
        let records = self.queue.records;
        std::mem::replace(&mut self.queue, Queue { records, ..Queue::default() })
    }
}
