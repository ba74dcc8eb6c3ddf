//! A consumer group: what it has read, the entries that wait to be acknowledged, and its consumers with theirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::id::StreamId;
use super::ordered::Ordered;
use crate::value::rounded;

/// A share of a node of the tree of names, per consumer.
const NAME_BYTES: usize = 32;
/// What an `Arc` allocates beside what it holds.
const ARC_BYTES: usize = 16;

/// A group of consumers.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The last entry that was delivered.
    pub last_id: StreamId,
    /// Entries read since the stream began, where that is known.
    pub entries_read: Option<i64>,
    pending: Ordered<StreamId, Nack>,
    /// Places of consumers by name.
    names: BTreeMap<Arc<[u8]>, u32>,
    consumers: Vec<Option<Consumer>>,
    free: Vec<u32>,
    /// Accounted bytes of the consumers.
    consumer_bytes: usize,
}

/// An entry that was delivered and not yet acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack {
    /// When it was last delivered, Unix milliseconds.
    pub delivered_ms: u64,
    /// How many times it was.
    pub count: u64,
    /// Its consumer's place in the group.
    pub consumer: u32,
}

/// A consumer.
#[derive(Clone, Debug)]
pub struct Consumer {
    name: Arc<[u8]>,
    /// When it last asked, Unix milliseconds.
    pub seen_ms: u64,
    /// When it last got something, Unix milliseconds; nothing if never.
    pub active_ms: Option<u64>,
    pending: Ordered<StreamId, ()>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Number of entries that it has yet to acknowledge.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The IDs from `from` to `to`, both included, that it has yet to acknowledge.
    pub fn pending(&self, from: StreamId, to: StreamId) -> impl Iterator<Item = StreamId> {
        self.pending.range(&from, &to).map(|(id, ())| id)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        rounded(ARC_BYTES + self.name.len()) + NAME_BYTES + size_of::<Option<Consumer>>() + self.pending.heap_bytes()
    }
}

impl Group {
    /// A group without consumers that has read up to `last_id`.
    pub fn new(last_id: StreamId, entries_read: Option<i64>) -> Group {
        Group { last_id, entries_read, ..Group::default() }
    }

    /// Accounted heap bytes.
    pub fn heap_bytes(&self) -> usize {
        self.pending.heap_bytes() + self.consumer_bytes
    }

    /// Number of entries that wait to be acknowledged.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The entries from `from` to `to`, both included, that wait to be acknowledged.
    pub fn pending(&self, from: StreamId, to: StreamId) -> impl DoubleEndedIterator<Item = (StreamId, &Nack)> {
        self.pending.range(&from, &to)
    }

    /// The entries that wait to be acknowledged, from number `index` on.
    pub(super) fn pending_from(&self, index: usize) -> impl Iterator<Item = (StreamId, &Nack)> {
        self.pending.skip(index)
    }

    /// The lowest and the highest ID that wait to be acknowledged.
    pub fn pending_ends(&self) -> Option<(StreamId, StreamId)> {
        Some((self.pending.first()?.0, self.pending.last()?.0))
    }

    /// The entry of this ID, if it waits to be acknowledged.
    pub fn nack(&self, id: StreamId) -> Option<Nack> {
        self.pending.get(&id).copied()
    }

    /// The consumers, by name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (u32, &Consumer)> {
        self.names.values().map(|&place| (place, self.at(place)))
    }

    /// The place of the consumer of this name.
    pub fn find(&self, name: &[u8]) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// The consumer at a place that [`Group::find`] or a [`Nack`] has named.
    pub fn at(&self, place: u32) -> &Consumer {
        self.consumers[place as usize].as_ref().expect("places of consumers that are gone are not named")
    }

    /// The consumer of this name, which is made if there is none; says whether it was.
    pub fn find_or_add(&mut self, name: &[u8], now_ms: u64) -> (u32, bool) {
        if let Some(place) = self.find(name) {
            return (place, false);
        }
        let name: Arc<[u8]> = Arc::from(name);
        let consumer = Consumer { name: name.clone(), seen_ms: now_ms, active_ms: None, pending: Ordered::default() };
        self.consumer_bytes += consumer.heap_bytes();
        let place = self.free.pop().unwrap_or(self.consumers.len() as u32);
        if place as usize == self.consumers.len() {
            self.consumers.push(None);
        }
        self.consumers[place as usize] = Some(consumer);
        self.names.insert(name, place);
        (place, true)
    }

    /// Takes a consumer away and what it has yet to acknowledge; returns how many entries that were.
    pub fn remove(&mut self, name: &[u8]) -> Option<usize> {
        let place = self.names.remove(name)?;
        let gone = self.consumers[place as usize].take()?;
        self.free.push(place);
        self.consumer_bytes -= gone.heap_bytes();
        let count = gone.pending.len();
        if count > self.pending.len() / 8 {
            // Most of a large map goes: a new one of the rest is less work than taking out one by one.
            let mut rest = Ordered::default();
            for (id, nack) in self.pending.iter().filter(|(_, nack)| nack.consumer != place) {
                rest.insert(id, *nack);
            }
            self.pending = rest;
        } else {
            for (id, ()) in gone.pending.iter() {
                self.pending.remove(&id);
            }
        }
        Some(count)
    }

    /// Notes that a consumer has asked.
    pub fn saw(&mut self, place: u32, now_ms: u64) {
        self.consumer(place).seen_ms = now_ms;
    }

    /// Notes that a consumer has got something.
    pub fn was_active(&mut self, place: u32, now_ms: u64) {
        self.consumer(place).active_ms = Some(now_ms);
    }

    /// Says when a consumer last got something, Unix milliseconds; nothing if never.
    pub fn set_active(&mut self, place: u32, active_ms: Option<u64>) {
        self.consumer(place).active_ms = active_ms;
    }

    /// Makes an entry one that `nack.consumer` has yet to acknowledge, whoever had it before.
    pub fn assign(&mut self, id: StreamId, nack: Nack) {
        match self.pending.insert(id, nack) {
            Some(old) if old.consumer == nack.consumer => return,
            Some(old) => self.change_pending(old.consumer, |pending| pending.remove(&id)),
            None => None,
        };
        self.change_pending(nack.consumer, |pending| pending.insert(id, ()));
    }

    /// Acknowledges an entry; says whether it waited for that.
    pub fn ack(&mut self, id: StreamId) -> bool {
        let Some(nack) = self.pending.remove(&id) else { return false };
        self.change_pending(nack.consumer, |pending| pending.remove(&id));
        true
    }

    #[cfg(test)]
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.heap_bytes()
    }

    /// Whether there is a consumer at this place.
    pub(super) fn has_place(&self, place: u32) -> bool {
        self.consumers.get(place as usize).is_some_and(Option::is_some)
    }

    /// For each place, which consumer in the order of names is there.
    pub(super) fn ranks(&self) -> Vec<u32> {
        let mut ranks = vec![0; self.consumers.len()];
        for (rank, &place) in (0..).zip(self.names.values()) {
            ranks[place as usize] = rank;
        }
        ranks
    }

    /// Gives up about `items` pending entries without a trace, when all of it is going; says how many were left.
    pub(super) fn free_some(&mut self, items: usize) -> usize {
        let mut freed = 0;
        while freed < items && !self.pending.is_empty() {
            freed += self.pending.drop_last_leaf();
        }
        for consumer in self.consumers.iter_mut().flatten() {
            while freed < items && !consumer.pending.is_empty() {
                let before = consumer.heap_bytes();
                freed += consumer.pending.drop_last_leaf();
                self.consumer_bytes = self.consumer_bytes + consumer.heap_bytes() - before;
            }
        }
        freed
    }

    fn consumer(&mut self, place: u32) -> &mut Consumer {
        self.consumers[place as usize].as_mut().expect("places of consumers that are gone are not named")
    }

    fn change_pending<R>(&mut self, place: u32, change: impl FnOnce(&mut Ordered<StreamId, ()>) -> R) -> R {
        let pending = &mut self.consumer(place).pending;
        let before = pending.heap_bytes();
        let result = change(pending);
        let after = pending.heap_bytes();
        self.consumer_bytes = self.consumer_bytes + after - before;
        result
    }
}
