//! A stream in parts, for moving it to another process: nodes first, then each group with its consumers, then what
//! waits to be acknowledged.
//!
//! A part is a row of records: a tag, then fields of fixed width, little-endian; bytes have their length before them.

use super::node;
use super::{Consumer, Group, Log, Nack, Node, Stream, StreamId};
use crate::value::Malformed;

/// A part is about this long, longer only by one record.
const PART_BYTES: usize = 32 * 1024;

const HEAD: u8 = 1;
const NODE: u8 = 2;
const GROUP: u8 = 3;
const CONSUMER: u8 = 4;
const PENDING: u8 = 5;

/// Stands for what is not known or never was.
const NOTHING: u64 = u64::MAX;

impl Stream {
    /// Writes some of it from place `at` on, 0 at first; returns where to go on.
    pub fn write_part(&self, at: usize, out: &mut Vec<u8>) -> Option<usize> {
        let full = out.len().saturating_add(PART_BYTES);
        let mut at = at;
        loop {
            at += self.write_records(at, full, out)?;
            if out.len() >= full {
                return Some(at);
            }
        }
    }

    /// Adds one part, in the order in which they were written. The bytes may be anything.
    ///
    /// # Errors
    /// Where they are not a part that follows the last one.
    pub fn read_part(&mut self, part: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader(part);
        while let [tag, rest @ ..] = reader.0 {
            reader.0 = rest;
            let read = match *tag {
                HEAD => self.read_head(&mut reader),
                NODE => self.read_node(&mut reader),
                GROUP => self.read_group(&mut reader),
                CONSUMER => self.read_consumer(&mut reader),
                PENDING => self.read_pending(&mut reader),
                _ => None,
            };
            read.ok_or(Malformed)?;
        }
        Ok(())
    }

    /// Frees about `elements` elements' worth; says whether there is more.
    pub fn free_some(&mut self, elements: usize) -> bool {
        let mut left = elements;
        while left > 0 && !self.log.nodes.is_empty() {
            let Some((master, bytes)) = self.log.nodes.last() else { break };
            let entries = node::NodeView::new(bytes, master).map_or(1, |node| node.live.max(1) as usize);
            self.log.remove_node(master);
            left = left.saturating_sub(entries);
        }
        while left > 0 {
            let Some((name, _)) = self.groups.last() else { return false };
            let name = name.clone();
            let freed = self.edit_group(&name, |_, group| group.free_some(left)).unwrap_or(0);
            left = left.saturating_sub(freed.max(1));
            if freed == 0 {
                self.remove_group(&name);
            }
        }
        !self.log.nodes.is_empty() || !self.groups.is_empty()
    }

    /// Writes records of one kind from number `at` on until `out` is `full`; returns how many, nothing at the end. The
    /// head is the first, the nodes follow, then group by group itself, its consumers and what is pending.
    fn write_records(&self, at: usize, full: usize, out: &mut Vec<u8>) -> Option<usize> {
        let Some(at) = at.checked_sub(1) else {
            self.write_head(out);
            return Some(1);
        };
        if at < self.log.nodes.len() {
            return Some(write_until(full, out, self.log.nodes.skip(at), write_node));
        }
        let mut at = at - self.log.nodes.len();
        for (name, group) in &self.groups {
            let consumers = group.consumers().len();
            let records = 1 + consumers + group.pending_len().div_ceil(PENDING_PER_RECORD);
            if at >= records {
                at -= records;
                continue;
            }
            match at.checked_sub(1) {
                None => write_group(name, group, out),
                Some(at) if at < consumers => {
                    return Some(write_until(full, out, group.consumers().skip(at), write_consumer));
                }
                Some(at) => write_pending(group, (at - consumers) * PENDING_PER_RECORD, out),
            }
            return Some(1);
        }
        None
    }

    fn write_head(&self, out: &mut Vec<u8>) {
        out.push(HEAD);
        put_id(out, self.log.last_id);
        put_id(out, self.log.first_id);
        put_id(out, self.log.max_deleted_id);
        put(out, self.log.entries_added);
    }

    fn read_head(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let (last_id, first_id, max_deleted_id) = (reader.id()?, reader.id()?, reader.id()?);
        let is_fresh = self.log.nodes.is_empty() && self.groups.is_empty();
        self.log = Log { last_id, first_id, max_deleted_id, entries_added: reader.number()?, ..Log::default() };
        is_fresh.then_some(())
    }

    fn read_node(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let (master, bytes) = (reader.id()?, reader.bytes()?);
        self.push_checked_node(master, bytes).ok()
    }

    fn read_group(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let (name, last_id, read) = (reader.bytes()?, reader.id()?, reader.number()?);
        let group = Group::new(last_id, known(read).map(|read| read as i64));
        // Groups come in order, so that the last is the one that the next records belong to.
        let in_order = self.groups.last().is_none_or(|(last, _)| **last < *name);
        (in_order && self.add_group(name, group)).then_some(())
    }

    fn read_consumer(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let (name, seen_ms, active_ms) = (reader.bytes()?, reader.number()?, known(reader.number()?));
        let group = self.groups.last()?.0.clone();
        self.edit_group(&group, |_, group| group.restore_consumer(name, seen_ms, active_ms))?
    }

    fn read_pending(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let count = reader.number()?;
        let group = self.groups.last()?.0.clone();
        self.edit_group(&group, |_, group| {
            for _ in 0..count {
                let id = reader.id()?;
                let nack = Nack { delivered_ms: reader.number()?, count: reader.number()?, consumer: reader.place()? };
                group.restore_pending(id, nack)?;
            }
            Some(())
        })?
    }

    /// Adds a node from elsewhere, above all that are there.
    ///
    /// # Errors
    /// Where it is not, or is no node.
    pub fn push_checked_node(&mut self, master: StreamId, bytes: &[u8]) -> Result<(), Malformed> {
        let (first, last, live) = node::check(bytes, master).ok_or(Malformed)?;
        let below = self.log.nodes.last().map(|(master, bytes)| match node::NodeView::new(bytes, master) {
            Some(view) => node::last_id(view),
            None => master,
        });
        if below.is_some_and(|below| below >= first) || last > self.log.last_id {
            return Err(Malformed);
        }
        self.log.push_node(master, bytes, live);
        Ok(())
    }
}

impl Group {
    /// Adds a consumer from elsewhere: they come in the order of their names.
    pub fn restore_consumer(&mut self, name: &[u8], seen_ms: u64, active_ms: Option<u64>) -> Option<()> {
        let (place, is_new) = self.find_or_add(name, seen_ms);
        if let Some(active_ms) = active_ms {
            self.was_active(place, active_ms);
        }
        is_new.then_some(())
    }

    /// Adds an entry that waits to be acknowledged, from elsewhere.
    pub fn restore_pending(&mut self, id: StreamId, nack: Nack) -> Option<()> {
        let is_sound = self.has_place(nack.consumer) && self.nack(id).is_none();
        is_sound.then(|| self.assign(id, nack))
    }
}

/// Entries that wait to be acknowledged are written this many at a time.
const PENDING_PER_RECORD: usize = 256;

/// Writes one record after the other, at least one; returns how many.
fn write_until<T>(
    full: usize,
    out: &mut Vec<u8>,
    records: impl Iterator<Item = T>,
    write: impl Fn(T, &mut Vec<u8>),
) -> usize {
    let mut count = 0;
    for record in records {
        write(record, out);
        count += 1;
        if out.len() >= full {
            break;
        }
    }
    count
}

fn write_node((master, bytes): (StreamId, &Node), out: &mut Vec<u8>) {
    out.push(NODE);
    put_id(out, master);
    put_bytes(out, bytes);
}

fn write_group(name: &[u8], group: &Group, out: &mut Vec<u8>) {
    out.push(GROUP);
    put_bytes(out, name);
    put_id(out, group.last_id);
    put(out, group.entries_read.map_or(NOTHING, |read| read as u64));
}

fn write_consumer((_, consumer): (u32, &Consumer), out: &mut Vec<u8>) {
    out.push(CONSUMER);
    put_bytes(out, consumer.name());
    put(out, consumer.seen_ms);
    put(out, consumer.active_ms.unwrap_or(NOTHING));
}

/// Consumers are named by their rank, which is the place that they get where they are read.
fn write_pending(group: &Group, at: usize, out: &mut Vec<u8>) {
    let ranks = group.ranks();
    let pending = group.pending_from(at).take(PENDING_PER_RECORD);
    out.push(PENDING);
    put(out, PENDING_PER_RECORD.min(group.pending_len() - at) as u64);
    for (id, nack) in pending {
        put_id(out, id);
        put(out, nack.delivered_ms);
        put(out, nack.count);
        put(out, ranks.get(nack.consumer as usize).copied().unwrap_or(0).into());
    }
}

fn known(number: u64) -> Option<u64> {
    (number != NOTHING).then_some(number)
}

fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    put(out, id.ms);
    put(out, id.seq);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads fields off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn id(&mut self) -> Option<StreamId> {
        Some(StreamId::new(self.number()?, self.number()?))
    }

    fn place(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }
}
