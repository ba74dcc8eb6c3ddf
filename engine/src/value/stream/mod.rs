//! A stream: entries in order of their IDs, in nodes of Valkey's own bytes, and the groups that read them.
//!
//! ```text
//! Stream ─ Ordered of master ID -> node (id.rs, node.rs, ordered.rs)
//!        └ groups by name ─ Group: pending entries by ID, consumers with theirs (group.rs)
//! ```
//!
//! Nodes, leaves of maps and groups are behind `Arc`s and copied on write: a clone is a snapshot at the cost of one
//! count per leaf.

use std::ops::Deref;
use std::sync::Arc;

use swell_wire::Args;

use crate::error::Fault;
use node::NodeView;
use ordered::Ordered;

use super::rounded;

pub use claim::{Claim, Claimed, Sweep};
pub use group::{Consumer, Group, Nack};
pub use id::{AskedId, ID_TEXT_BYTES_MAX, INVALID_ID, StreamId};
pub use kept::StreamMeta;
pub use node::EntryView;
pub use ordered::Range;
pub use trim::{Trim, Until};

mod claim;
mod group;
mod id;
mod kept;
mod lag;
mod node;
mod ordered;
mod parts;
#[cfg(test)]
mod tests;
mod trim;

/// The most bytes that fields and values of one entry may have together, and that a node ever has.
pub const ENTRY_BYTES_MAX: usize = 1 << 30;

/// What an `Arc` allocates beside what it holds.
const ARC_BYTES: usize = 16;

/// An ID as a key of a radix tree.
const ID_BYTES: usize = 16;
/// No more IDs are looked at to count the nodes of a radix tree.
const RADIX_IDS_MAX: usize = 4096;

/// How much goes into one node; 0 for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimits {
    /// `stream-node-max-bytes`.
    pub bytes: usize,
    /// `stream-node-max-entries`.
    pub entries: u64,
}

impl Default for NodeLimits {
    fn default() -> Self {
        NodeLimits { bytes: 4096, entries: 100 }
    }
}

/// The entries, and what is known of those that were.
#[derive(Clone, Debug, Default)]
pub struct Log {
    nodes: Ordered<StreamId, Node>,
    /// Accounted bytes of the nodes.
    node_bytes: usize,
    length: u64,
    /// The highest ID ever given.
    pub last_id: StreamId,
    first_id: StreamId,
    max_deleted_id: StreamId,
    /// Entries ever added.
    pub entries_added: u64,
}

/// A node's bytes.
#[derive(Clone, Debug)]
enum Node {
    /// With room to spare: the last one.
    Open(Arc<Vec<u8>>),
    /// In one piece with the count of who shares it.
    Sealed(Arc<[u8]>),
}

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    log: Log,
    /// By name.
    groups: Vec<(Arc<[u8]>, Arc<Group>)>,
    /// Accounted bytes of the groups.
    group_bytes: usize,
}

/// Entries of a range in order, from either end; deleted ones are left out.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    nodes: Range<'a, StreamId, Node>,
    here: Option<node::Entries<'a>>,
    from: StreamId,
    to: StreamId,
    reverse: bool,
}

impl Log {
    /// Number of entries.
    #[inline]
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The lowest ID there is; 0-0 without entries.
    pub fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// The highest ID that was ever deleted by its name; 0-0 if none was.
    pub fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    /// Number of nodes.
    pub fn nodes_len(&self) -> usize {
        self.nodes.len()
    }

    /// How many nodes Valkey's radix tree would have for the master IDs, for XINFO; an estimate for many of them.
    pub fn radix_nodes(&self) -> usize {
        let ids = self.nodes.iter().take(RADIX_IDS_MAX);
        let ids: Vec<[u8; ID_BYTES]> = ids.map(|(id, _)| radix_key(id)).collect();
        match self.nodes.len() {
            0 => 1,
            all => radix_nodes(&ids, 0) * all / ids.len(),
        }
    }

    /// The nodes' bytes with their master IDs, in order.
    pub fn nodes(&self) -> impl Iterator<Item = (StreamId, &[u8])> {
        self.nodes.iter().map(|(master, bytes)| (master, &bytes[..]))
    }

    /// The entries from `from` to `to`, both included, the lowest first.
    pub fn range(&self, from: StreamId, to: StreamId) -> Entries<'_> {
        Entries { nodes: self.nodes.range_covering(&from, &to), here: None, from, to, reverse: false }
    }

    /// The entries from `from` to `to`, both included, the highest first.
    pub fn range_back(&self, from: StreamId, to: StreamId) -> Entries<'_> {
        Entries { reverse: true, ..self.range(from, to) }
    }

    /// The highest ID of an entry that is there.
    pub fn top_id(&self) -> Option<StreamId> {
        self.range_back(StreamId::MIN, StreamId::MAX).next().map(|entry| entry.id)
    }

    /// The entry with this ID.
    pub fn get(&self, id: StreamId) -> Option<EntryView<'_>> {
        let (master, bytes) = self.nodes.range_covering(&id, &id).next()?;
        node::find(NodeView::new(bytes, master)?, id)
    }

    /// Accounted heap bytes.
    fn heap_bytes(&self) -> usize {
        self.nodes.heap_bytes() + self.node_bytes
    }

    /// The ID that a new entry is given.
    ///
    /// # Errors
    /// No ID is left; the ID is not above the last one.
    pub fn new_id(&self, asked: AskedId, now_ms: u64) -> Result<StreamId, Fault> {
        const TOO_LOW: Fault =
            Fault::say("ERR The ID specified in XADD is equal or smaller than the target stream top item");
        const EXHAUSTED: Fault =
            Fault::say("ERR The stream has exhausted the last possible ID, unable to add more items");
        let last = self.last_id;
        let next = last.next().ok_or(EXHAUSTED)?;
        let id = match asked {
            AskedId::Auto if now_ms > last.ms => StreamId::new(now_ms, 0),
            AskedId::Auto => next,
            AskedId::Ms(ms) if ms == last.ms => StreamId::new(ms, last.seq.checked_add(1).ok_or(TOO_LOW)?),
            AskedId::Ms(ms) => StreamId::new(ms, 0),
            AskedId::Given(id) => id,
        };
        if id > last { Ok(id) } else { Err(TOO_LOW) }
    }

    /// Adds an entry; `id` is above the last one, `fields` are names and values in turn, at least one of each, of at
    /// most [`ENTRY_BYTES_MAX`] together.
    pub fn append(&mut self, id: StreamId, fields: Args<'_>, limits: NodeLimits) {
        let fits = self.nodes.last().is_some_and(|(master, bytes)| has_room(bytes, master, fields, limits));
        if fits {
            self.append_to_last(id, fields);
        } else {
            self.append_node(id, fields);
        }
        self.length += 1;
        self.entries_added = self.entries_added.wrapping_add(1);
        self.last_id = id;
        if self.length == 1 {
            self.first_id = id;
        }
    }

    fn append_to_last(&mut self, id: StreamId, fields: Args<'_>) {
        let Some((master, last)) = self.nodes.last_mut() else { return };
        let before = last.heap_bytes();
        let bytes = last.open();
        let needed = bytes.len() + node::entry_room(fields);
        if needed > bytes.capacity() {
            // A quarter more than is needed: the last node is the only one that has room to spare.
            bytes.reserve_exact(rounded(needed + needed / 4) - bytes.len());
        }
        node::append(bytes, master, id, fields);
        let after = last.heap_bytes();
        self.account(before, after);
    }

    fn append_node(&mut self, id: StreamId, fields: Args<'_>) {
        self.shrink_last();
        let mut bytes = node::create(fields);
        bytes.shrink_to_fit();
        let node = Node::Open(Arc::new(bytes));
        self.node_bytes += node.heap_bytes();
        self.nodes.insert(id, node);
    }

    /// The last node is full: it gives its spare room back.
    fn shrink_last(&mut self) {
        let Some((_, last)) = self.nodes.last_mut() else { return };
        let before = last.heap_bytes();
        if let Node::Open(bytes) = last {
            *last = Node::Sealed(Arc::from(&bytes[..]));
        }
        let after = last.heap_bytes();
        self.account(before, after);
    }

    /// Deletes an entry; says whether it was there.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some((master, bytes)) = self.nodes.range_covering(&id, &id).next() else { return false };
        let Some(view) = NodeView::new(bytes, master) else { return false };
        let Some(entry) = node::find(view, id) else { return false };
        let at = entry.at();
        if view.live == 1 {
            self.remove_node(master);
        } else {
            self.delete_from_node(master, &[at]);
        }
        self.length -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        if id == self.first_id || self.length == 0 {
            self.find_first();
        }
        true
    }

    /// Sets what XSETID sets; nothing leaves a value as it is.
    ///
    /// # Errors
    /// Where that could not be true.
    pub fn set_id(&mut self, last: StreamId, added: Option<u64>, max_deleted: Option<StreamId>) -> Result<(), Fault> {
        if last < self.max_deleted_id {
            return Err(Fault::say("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"));
        }
        if self.top_id().is_some_and(|top| last < top) {
            return Err(Fault::say("ERR The ID specified in XSETID is smaller than the target stream top item"));
        }
        if self.length > 0 && added.is_some_and(|added| self.length > added) {
            return Err(Fault::say(
                "ERR The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
        self.last_id = last;
        self.entries_added = added.unwrap_or(self.entries_added);
        self.max_deleted_id = max_deleted.unwrap_or(self.max_deleted_id);
        Ok(())
    }

    fn find_first(&mut self) {
        self.first_id = self.range(StreamId::MIN, StreamId::MAX).next().map_or(StreamId::MIN, |entry| entry.id);
    }

    fn remove_node(&mut self, master: StreamId) {
        if let Some(node) = self.nodes.remove(&master) {
            self.node_bytes -= node.heap_bytes();
        }
    }

    /// Deletes the entries at these places of a node, but not all of it.
    fn delete_from_node(&mut self, master: StreamId, places: &[usize]) {
        let Some(node) = self.nodes.get_mut(&master) else { return };
        let before = node.heap_bytes();
        node.delete(places);
        let after = node.heap_bytes();
        self.account(before, after);
    }

    /// Takes a node over as it is; it is above all that are there.
    fn push_node(&mut self, master: StreamId, bytes: &[u8], live: u64) {
        let node = Node::Sealed(Arc::from(bytes));
        self.node_bytes += node.heap_bytes();
        self.length += live;
        self.nodes.insert(master, node);
    }

    fn account(&mut self, before: usize, after: usize) {
        self.node_bytes = self.node_bytes + after - before;
    }
}

impl Stream {
    /// The entries.
    #[inline]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The entries, for changing them.
    #[inline]
    pub fn log_mut(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Accounted heap bytes.
    pub fn heap_bytes(&self) -> usize {
        self.log.heap_bytes() + self.group_bytes + self.groups.capacity() * size_of::<(Arc<[u8]>, Arc<Group>)>()
    }

    /// The groups with their names, by name.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&name[..], &**group))
    }

    /// A group.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        let at = self.find_group(name).ok()?;
        Some(&self.groups[at].1)
    }

    /// Adds a group; says whether there was none of this name.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        let Err(at) = self.find_group(name) else { return false };
        self.group_bytes += group_bytes(name, &group);
        self.groups.reserve_exact(1);
        self.groups.insert(at, (Arc::from(name), Arc::new(group)));
        true
    }

    /// Takes a group away; says whether it was there.
    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        let Ok(at) = self.find_group(name) else { return false };
        let (name, group) = self.groups.remove(at);
        self.group_bytes -= group_bytes(&name, &group);
        self.groups.shrink_to_fit();
        true
    }

    /// Changes a group, with the entries to look at; nothing where there is none of this name.
    pub fn edit_group<R>(&mut self, name: &[u8], change: impl FnOnce(&Log, &mut Group) -> R) -> Option<R> {
        let at = self.find_group(name).ok()?;
        let group = Arc::make_mut(&mut self.groups[at].1);
        let before = group.heap_bytes();
        let result = change(&self.log, group);
        self.group_bytes = self.group_bytes + group.heap_bytes() - before;
        Some(result)
    }

    fn find_group(&self, name: &[u8]) -> Result<usize, usize> {
        self.groups.binary_search_by(|(other, _)| (**other).cmp(name))
    }
}

impl Node {
    /// Accounted heap bytes.
    fn heap_bytes(&self) -> usize {
        match self {
            Node::Open(bytes) => rounded(ARC_BYTES + size_of::<Vec<u8>>()) + rounded(bytes.capacity()),
            Node::Sealed(bytes) => rounded(ARC_BYTES + bytes.len()),
        }
    }

    /// The bytes, for appending to them.
    fn open(&mut self) -> &mut Vec<u8> {
        if let Node::Sealed(bytes) = self {
            *self = Node::Open(Arc::new(bytes.to_vec()));
        }
        match self {
            Node::Open(bytes) => Arc::make_mut(bytes),
            Node::Sealed(_) => unreachable!("it was opened above"),
        }
    }

    /// Deletes the entries at these places.
    fn delete(&mut self, places: &[usize]) {
        match self {
            Node::Open(bytes) => node::delete(Arc::make_mut(bytes), places),
            Node::Sealed(bytes) => {
                if !node::delete_in_place(Arc::make_mut(bytes), places) {
                    let mut longer = bytes.to_vec();
                    node::delete(&mut longer, places);
                    *bytes = Arc::from(longer);
                }
            }
        }
    }
}

impl Deref for Node {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Node::Open(bytes) => bytes,
            Node::Sealed(bytes) => bytes,
        }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = EntryView<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.reverse { self.next_back_in_order() } else { self.next_in_order() }
    }
}

impl<'a> Entries<'a> {
    fn next_in_order(&mut self) -> Option<EntryView<'a>> {
        loop {
            let Some(here) = &mut self.here else {
                self.here = Some(open(self.nodes.next()?)?);
                continue;
            };
            match here.next() {
                None => self.here = None,
                Some(entry) if entry.id > self.to => return None,
                Some(entry) if entry.id < self.from || entry.is_deleted() => {}
                Some(entry) => return Some(entry),
            }
        }
    }

    fn next_back_in_order(&mut self) -> Option<EntryView<'a>> {
        loop {
            let Some(here) = &mut self.here else {
                self.here = Some(open(self.nodes.next_back()?)?);
                continue;
            };
            match here.next_back() {
                None => self.here = None,
                Some(entry) if entry.id < self.from => return None,
                Some(entry) if entry.id > self.to || entry.is_deleted() => {}
                Some(entry) => return Some(entry),
            }
        }
    }
}

fn open<'a>((master, bytes): (StreamId, &'a Node)) -> Option<node::Entries<'a>> {
    NodeView::new(bytes, master).map(NodeView::entries)
}

/// Whether another entry goes into a node.
fn has_room(bytes: &[u8], master: StreamId, fields: Args<'_>, limits: NodeLimits) -> bool {
    let most = if limits.bytes == 0 { ENTRY_BYTES_MAX } else { limits.bytes.min(ENTRY_BYTES_MAX) };
    if bytes.len().saturating_add(fields.payload_bytes()) >= most {
        return false;
    }
    let Some(node) = NodeView::new(bytes, master) else { return false };
    limits.entries == 0 || (node.live.saturating_add(node.deleted) as u64) < limits.entries
}

fn radix_key(id: StreamId) -> [u8; ID_BYTES] {
    (u128::from(id.ms) << 64 | u128::from(id.seq)).to_be_bytes()
}

/// Nodes of a radix tree of these keys, which are sorted and agree in what is before `depth`: one for each run of bytes
/// that all have in common, one for each key, one for each place where they part.
fn radix_nodes(keys: &[[u8; ID_BYTES]], depth: usize) -> usize {
    let (Some(first), Some(last)) = (keys.first(), keys.last()) else { return 0 };
    let parts_at = (depth..ID_BYTES).find(|&at| first[at] != last[at]).unwrap_or(ID_BYTES);
    let run = usize::from(parts_at > depth);
    if parts_at == ID_BYTES {
        return run + 1;
    }
    let children = keys.chunk_by(|left, right| left[parts_at] == right[parts_at]);
    run + 1 + children.map(|child| radix_nodes(child, parts_at + 1)).sum::<usize>()
}

/// Accounted bytes of a group with its name.
fn group_bytes(name: &[u8], group: &Group) -> usize {
    rounded(ARC_BYTES + name.len()) + rounded(ARC_BYTES + size_of::<Group>()) + group.heap_bytes()
}
