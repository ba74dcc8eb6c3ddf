//! The large list (`OBJECT ENCODING` calls it quicklist): a deque of nodes, each a run of up to 8 KiB of packed elements
//! or one element that is longer than that.
//!
//! Runs at the ends have room where elements are pushed. Blocks are shared between copies of a list and copied when
//! written to, so that a clone costs as much as there are nodes. Where a node ends follows Valkey's rules, because a
//! list that has shrunk to one small node becomes a listpack again.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use swell_wire::limits::BULK_BYTES_MAX;
use swell_wire::{Out, Segments};

use super::element;
use super::item::{Item, Wanted};
use super::listpack::Elements;
use super::{Large, Malformed, rounded};
use crate::key::Hasher;

use node::{Node, Run};

pub use fill::Fill;

mod edit;
mod fill;
mod node;
#[cfg(test)]
mod tests;

/// Bytes of one part of [`Large::write_part`], about.
const PART_BYTES: usize = 32 * 1024;
/// A place in parts is a node's number and above it the segment of a long element.
const PART_NODE_BITS: u32 = 40;

/// What a part's records begin with.
const RECORD_RUN: u8 = 0;
const RECORD_LONG: u8 = 1;
const RECORD_LONG_MORE: u8 = 2;

/// A list of any length.
#[derive(Clone, Debug, Default)]
pub struct Chunks {
    nodes: VecDeque<Node>,
    len: usize,
    /// Of all nodes, without the deque's own array.
    node_bytes: usize,
}

/// A node, for those who write a list down.
#[derive(Clone, Copy, Debug)]
pub enum NodeRef<'a> {
    /// Packed elements without header and end, and how many.
    Run(&'a [u8], usize),
    Long(&'a Segments),
}

/// Elements one after the other, in one direction.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    list: &'a Chunks,
    /// The node that comes after `run`; beyond the last one at the end.
    next: usize,
    run: Elements<'a>,
    back: bool,
}

impl Chunks {
    /// With the elements of a run, in one node.
    pub fn from_run(run: &[u8], count: usize) -> Self {
        let mut list = Self::default();
        list.add_run(run, count);
        list
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of nodes.
    pub fn nodes_len(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes in order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = NodeRef<'_>> {
        self.nodes.iter().map(|node| match node {
            Node::Run(run) => NodeRef::Run(run.bytes(), run.count()),
            Node::Long(segments) => NodeRef::Long(segments),
        })
    }

    /// The only node's run, if there is one node and it is a run.
    pub fn only_run(&self) -> Option<(&[u8], usize)> {
        match self.nodes.front() {
            Some(Node::Run(run)) if self.nodes.len() == 1 => Some((run.bytes(), run.count())),
            _ => None,
        }
    }

    /// Adds a node of packed elements at the end; nothing if there are none.
    pub fn add_run(&mut self, run: &[u8], count: usize) {
        if count > 0 {
            self.put(self.nodes.len(), Node::Run(Run::of(run, count)));
        }
    }

    /// Adds a node of one long element at the end.
    pub fn add_long(&mut self, segments: Segments) {
        self.put(self.nodes.len(), Node::Long(Arc::new(segments)));
    }

    /// One more element at the end.
    #[inline]
    pub fn push_back(&mut self, item: Item<'_>, fill: &Fill) {
        let both = self.nodes.len() == 1;
        match (fill.short(item), self.nodes.back_mut()) {
            (Some(element), Some(Node::Run(run))) if fill.allows(run.len(), run.count(), element) => {
                let before = run.heap_bytes();
                run.push_back(element, both);
                self.node_bytes = self.node_bytes + run.heap_bytes() - before;
                self.len += 1;
            }
            _ => {
                self.seal(self.nodes.len().wrapping_sub(1));
                self.put(self.nodes.len(), fresh(item, fill));
            }
        }
    }

    /// One more element at the beginning.
    #[inline]
    pub fn push_front(&mut self, item: Item<'_>, fill: &Fill) {
        let both = self.nodes.len() == 1;
        match (fill.short(item), self.nodes.front_mut()) {
            (Some(element), Some(Node::Run(run))) if fill.allows(run.len(), run.count(), element) => {
                let before = run.heap_bytes();
                run.push_front(element, both);
                self.node_bytes = self.node_bytes + run.heap_bytes() - before;
                self.len += 1;
            }
            _ => {
                self.seal(0);
                self.put(0, fresh(item, fill));
            }
        }
    }

    /// The element with this index.
    pub fn get(&self, index: usize) -> Option<Item<'_>> {
        self.iter_from(index).next()
    }

    /// The elements from an index on.
    pub fn iter_from(&self, index: usize) -> Items<'_> {
        let Some((at, inside)) = self.locate(index) else {
            return Items { list: self, next: usize::MAX, run: Elements::of(&[]), back: false };
        };
        match &self.nodes[at] {
            Node::Run(run) => {
                let run = Elements::of(&run.bytes()[run.offset(inside)..]);
                Items { list: self, next: at + 1, run, back: false }
            }
            Node::Long(_) => Items { list: self, next: at, run: Elements::of(&[]), back: false },
        }
    }

    /// The elements from an index back to the first.
    pub fn iter_back_from(&self, index: usize) -> Items<'_> {
        let Some((at, inside)) = self.locate(index) else {
            return Items { list: self, next: usize::MAX, run: Elements::of(&[]), back: true };
        };
        match &self.nodes[at] {
            Node::Run(run) => {
                let run = Elements::of(&run.bytes()[..run.offset(inside + 1)]);
                Items { list: self, next: at.wrapping_sub(1), run, back: true }
            }
            Node::Long(_) => Items { list: self, next: at, run: Elements::of(&[]), back: true },
        }
    }

    /// Answers `range` as bulk strings, in this order or backwards.
    pub fn write_range(&self, range: Range<usize>, back: bool, out: &mut Out) {
        let count = range.len();
        if count == 0 {
            return;
        }
        let items = if back { self.iter_back_from(range.end - 1) } else { self.iter_from(range.start) };
        items.take(count).for_each(|item| item.write(out));
    }

    /// Takes `count` elements away from an index on; whole nodes without looking at them.
    pub fn remove(&mut self, index: usize, count: usize) {
        let mut left = count.min(self.len.saturating_sub(index));
        let Some((mut at, inside)) = self.locate(index) else { return };
        if inside > 0 && left > 0 {
            let now = left.min(self.nodes[at].count() - inside);
            self.edit_run(at, |run| run.remove(inside, now));
            left -= now;
            at += 1;
        }
        let mut whole = at;
        while let Some(node) = self.nodes.get(whole)
            && node.count() <= left
            && left > 0
        {
            left -= node.count();
            self.len -= node.count();
            self.node_bytes -= node.heap_bytes();
            whole += 1;
        }
        self.nodes.drain(at..whole);
        if left > 0 {
            self.edit_run(at, |run| run.remove(0, left));
        }
    }

    /// Takes up to `count` elements with these bytes away, the first ones or the last; returns how many there were.
    pub fn remove_equal(&mut self, wanted: &Wanted<'_>, count: usize, back: bool) -> usize {
        let (mut found, nodes) = (0, self.nodes.len());
        let mut is_any_empty = false;
        for step in 0..nodes {
            let at = if back { nodes - 1 - step } else { step };
            if found == count {
                break;
            }
            let gone = match &self.nodes[at] {
                Node::Run(run) => places_of(run, wanted, count - found, back),
                Node::Long(segments) if Item::Long(segments).is(wanted) => vec![0],
                Node::Long(_) => continue,
            };
            found += gone.len();
            if gone.len() == self.nodes[at].count() {
                self.len -= gone.len();
                self.node_bytes -= self.nodes[at].heap_bytes();
                self.nodes[at] = Node::Run(Run::of(&[], 0));
                self.node_bytes += self.nodes[at].heap_bytes();
                is_any_empty = true;
            } else if !gone.is_empty() {
                self.edit_run(at, |run| run.retain(&gone));
            }
        }
        if is_any_empty {
            let node_bytes = &mut self.node_bytes;
            self.nodes.retain(|node| {
                let keep = node.count() > 0;
                *node_bytes -= if keep { 0 } else { node.heap_bytes() };
                keep
            });
        }
        found
    }

    /// The node that has an index, and the index in it. Counts from the nearer end.
    fn locate(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.len {
            return None;
        }
        if index <= self.len / 2 {
            let mut left = index;
            for (at, node) in self.nodes.iter().enumerate() {
                if left < node.count() {
                    return Some((at, left));
                }
                left -= node.count();
            }
        } else {
            let mut left = self.len - index;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                if left <= node.count() {
                    return Some((at, node.count() - left));
                }
                left -= node.count();
            }
        }
        None
    }

    /// Inserts a node.
    fn put(&mut self, at: usize, node: Node) {
        if self.nodes.len() == self.nodes.capacity() {
            // An eighth more: doubling would waste more than all that is saved inside the nodes.
            self.nodes.reserve_exact(self.nodes.len() / 8 + 4);
        }
        self.len += node.count();
        self.node_bytes += node.heap_bytes();
        self.nodes.insert(at, node);
    }

    /// Removes a node.
    fn take(&mut self, at: usize) -> Option<Node> {
        let node = self.nodes.remove(at)?;
        self.len -= node.count();
        self.node_bytes -= node.heap_bytes();
        Some(node)
    }

    /// Changes a run; nothing where the node is a long element.
    fn edit_run<R>(&mut self, at: usize, edit: impl FnOnce(&mut Run) -> R) -> Option<R> {
        let Some(Node::Run(run)) = self.nodes.get_mut(at) else { return None };
        let (bytes, count) = (run.heap_bytes(), run.count());
        let result = edit(run);
        self.node_bytes = self.node_bytes + run.heap_bytes() - bytes;
        self.len = self.len + run.count() - count;
        Some(result)
    }

    fn seal(&mut self, at: usize) {
        self.edit_run(at, Run::seal);
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        loop {
            let element = if self.back { self.run.next_back() } else { self.run.next() };
            if let Some(element) = element {
                return Some(Item::Short(element));
            }
            let node = self.list.nodes.get(self.next)?;
            self.next = if self.back { self.next.wrapping_sub(1) } else { self.next + 1 };
            match node {
                Node::Run(run) => self.run = Elements::of(run.bytes()),
                Node::Long(segments) => return Some(Item::Long(segments)),
            }
        }
    }
}

impl Large for Chunks {
    fn heap_bytes(&self) -> usize {
        self.node_bytes + rounded(self.nodes.capacity() * size_of::<Node>())
    }

    fn elements(&self) -> usize {
        self.len
    }

    fn write_part(&self, at: usize, out: &mut Vec<u8>) -> Option<usize> {
        let (mut number, mut segment) = (at & ((1 << PART_NODE_BITS) - 1), at >> PART_NODE_BITS);
        let full = out.len() + PART_BYTES;
        while out.len() < full {
            match self.nodes.get(number)? {
                Node::Run(run) => {
                    record(RECORD_RUN, run.bytes(), out);
                    number += 1;
                }
                Node::Long(segments) => {
                    let part = segments.parts().get(segment).map_or(&[][..], |part| part);
                    record(if segment == 0 { RECORD_LONG } else { RECORD_LONG_MORE }, part, out);
                    segment += 1;
                    if segment >= segments.parts().len() {
                        (number, segment) = (number + 1, 0);
                    }
                }
            }
        }
        (number < self.nodes.len()).then_some(segment << PART_NODE_BITS | number)
    }

    fn read_part(&mut self, part: &[u8], _hasher: &Hasher) -> Result<(), Malformed> {
        let mut rest = part;
        while let Some((&kind, after)) = rest.split_first() {
            let len = u32::from_le_bytes(*after.first_chunk().ok_or(Malformed)?) as usize;
            let bytes = after.get(4..).and_then(|bytes| bytes.get(..len)).ok_or(Malformed)?;
            rest = &after[4 + len..];
            match kind {
                RECORD_RUN => self.add_run(bytes, count_checked(bytes)?),
                RECORD_LONG => self.add_long(Segments::from_slice(bytes)),
                RECORD_LONG_MORE => self.lengthen(bytes)?,
                _ => return Err(Malformed),
            }
        }
        Ok(())
    }

    fn free_some(&mut self, elements: usize) -> bool {
        let mut left = elements;
        while left > 0
            && let Some(node) = self.take(self.nodes.len().wrapping_sub(1))
        {
            left = left.saturating_sub(match &node {
                Node::Run(run) => run.count(),
                Node::Long(segments) => segments.parts().len(),
            });
        }
        !self.nodes.is_empty()
    }
}

impl Chunks {
    /// Adds bytes to the long element at the end.
    fn lengthen(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let Some(Node::Long(segments)) = self.nodes.back_mut() else { return Err(Malformed) };
        if segments.len() + bytes.len() > BULK_BYTES_MAX {
            return Err(Malformed);
        }
        let before = segments.heap_bytes();
        Arc::make_mut(segments).extend(bytes);
        self.node_bytes = self.node_bytes + segments.heap_bytes() - before;
        Ok(())
    }
}

/// A node for one element.
fn fresh(item: Item<'_>, fill: &Fill) -> Node {
    match (fill.short(item), item) {
        (Some(element), _) => Node::Run(Run::new(element)),
        (None, Item::Long(segments)) => Node::Long(Arc::new(segments.clone())),
        (None, Item::Short(_)) => Node::Long(Arc::new(Segments::from_slice(&item.to_vec()))),
    }
}

/// Places in bytes of up to `count` elements that are wanted, ascending: the first ones or the last.
fn places_of(run: &Run, wanted: &Wanted<'_>, count: usize, back: bool) -> Vec<usize> {
    let (mut places, mut rest, mut at) = (Vec::new(), run.bytes(), 0);
    while let Some((element, total)) = element::decode(rest) {
        if Item::Short(element).is(wanted) {
            places.push(at);
            if !back && places.len() == count {
                break;
            }
        }
        rest = &rest[total..];
        at += total;
    }
    places.split_off(places.len().saturating_sub(count))
}

fn count_checked(mut run: &[u8]) -> Result<usize, Malformed> {
    let mut count = 0;
    while !run.is_empty() {
        let (_, total) = element::decode_checked(run).ok_or(Malformed)?;
        run = &run[total..];
        count += 1;
    }
    Ok(count)
}

fn record(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}
