//! Inner nodes of a sorted set's tree: separators, counts, children. And the pages' place.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::leaf::{ARC_BYTES, Leaf};
use crate::value::blocks::Blocks;
use crate::value::rounded;

/// Children of a node.
pub(super) const FANOUT: usize = 64;

/// An inner node. Everything in child `i` (but the first) is at or after separator `i`, everything in `i - 1` before it.
#[derive(Clone)]
pub(super) struct Node {
    /// Separators: scores, and shortest members that tell equal scores apart (mostly empty).
    scores: Vec<f64>,
    tails: Vec<Box<[u8]>>,
    /// Elements below each child.
    pub(super) counts: Vec<usize>,
    pub(super) kids: Kids,
}

/// What a node's children are.
#[derive(Clone)]
pub(super) enum Kids {
    /// Numbers of pages.
    Leaves(Vec<u32>),
    Nodes(Vec<Arc<Node>>),
}

/// A child to be put beside another, and the separator before it.
pub(super) struct Sibling<K> {
    pub(super) separator: Separator,
    pub(super) kid: K,
    pub(super) count: usize,
}

/// A place between two children.
#[derive(Clone)]
pub(super) struct Separator {
    score: f64,
    tail: Box<[u8]>,
}

/// The pages of a tree, by number.
#[derive(Clone, Default)]
pub(super) struct Leaves {
    pages: Blocks<Leaf>,
    free: Vec<u32>,
    /// Bytes of the pages on the heap.
    bytes: usize,
}

impl Node {
    /// A node with one page below it.
    pub(super) fn over_leaf(leaf: u32, count: usize) -> Node {
        Node { scores: vec![0.0], tails: vec![Box::default()], counts: vec![count], kids: Kids::Leaves(vec![leaf]) }
    }

    /// A node over two others.
    pub(super) fn over_nodes(left: Arc<Node>, right: Sibling<Arc<Node>>) -> Node {
        Node {
            counts: vec![left.count(), right.count],
            scores: vec![0.0, right.separator.score],
            tails: vec![Box::default(), right.separator.tail],
            kids: Kids::Nodes(vec![left, right.kid]),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    /// Elements below it.
    pub(super) fn count(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The child in which an element is or belongs.
    #[inline]
    pub(super) fn child_for(&self, score: f64, member: &[u8]) -> usize {
        self.child_by(|other, tail| match other.partial_cmp(&score) {
            Some(Ordering::Equal) => tail <= member,
            order => order == Some(Ordering::Less),
        })
    }

    /// The last child whose separator `before` holds for; the first child if there is none.
    #[inline]
    pub(super) fn child_by(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        let (mut low, mut high) = (1, self.len());
        while low < high {
            let middle = (low + high) / 2;
            if before(self.scores[middle], &self.tails[middle]) { low = middle + 1 } else { high = middle }
        }
        low - 1
    }

    /// The child with the element of this rank, and the rank within it; `rank` must be below the count.
    #[inline]
    pub(super) fn child_at(&self, mut rank: usize) -> (usize, usize) {
        for (index, &count) in self.counts.iter().enumerate() {
            if rank < count {
                return (index, rank);
            }
            rank -= count;
        }
        (self.len() - 1, rank)
    }

    /// Bytes of this node on the heap, without its children.
    pub(super) fn own_bytes(&self) -> usize {
        let tails: usize = self.tails.iter().map(|tail| rounded(tail.len())).sum();
        let kids = match &self.kids {
            Kids::Leaves(kids) => kids.capacity() * size_of::<u32>(),
            Kids::Nodes(kids) => kids.capacity() * size_of::<Arc<Node>>(),
        };
        rounded(size_of::<Node>() + ARC_BYTES)
            + rounded(self.scores.capacity() * size_of::<f64>())
            + rounded(self.tails.capacity() * size_of::<Box<[u8]>>())
            + rounded(self.counts.capacity() * size_of::<usize>())
            + rounded(kids)
            + tails
    }

    /// Puts a page in after child `index`.
    pub(super) fn add_leaf(&mut self, index: usize, new: Sibling<u32>) {
        if let Kids::Leaves(kids) = &mut self.kids {
            grow_gently(kids);
            kids.insert(index + 1, new.kid);
            self.add_separator(index + 1, new.separator, new.count);
        }
    }

    /// Puts a page in before the first child; the separator is what keeps the two apart.
    pub(super) fn add_first_leaf(&mut self, new: Sibling<u32>) {
        if let Kids::Leaves(kids) = &mut self.kids {
            grow_gently(kids);
            kids.insert(0, new.kid);
            let count = std::mem::replace(&mut self.counts[0], new.count);
            self.add_separator(1, new.separator, count);
        }
    }

    /// Puts a node in after child `index`.
    pub(super) fn add_node(&mut self, index: usize, new: Sibling<Arc<Node>>) {
        if let Kids::Nodes(kids) = &mut self.kids {
            grow_gently(kids);
            kids.insert(index + 1, new.kid);
            self.add_separator(index + 1, new.separator, new.count);
        }
    }

    /// Takes children out; their pages and nodes are the caller's to free.
    pub(super) fn drop_kids(&mut self, range: Range<usize>) {
        self.scores.drain(range.clone());
        self.tails.drain(range.clone());
        self.counts.drain(range.clone());
        match &mut self.kids {
            Kids::Leaves(kids) => drop(kids.drain(range)),
            Kids::Nodes(kids) => drop(kids.drain(range)),
        }
    }

    /// Cuts off the children from `at` on.
    pub(super) fn split_off(&mut self, at: usize) -> Sibling<Arc<Node>> {
        let mut right = Node {
            scores: self.scores.split_off(at),
            tails: self.tails.split_off(at),
            counts: self.counts.split_off(at),
            kids: match &mut self.kids {
                Kids::Leaves(kids) => Kids::Leaves(kids.split_off(at)),
                Kids::Nodes(kids) => Kids::Nodes(kids.split_off(at)),
            },
        };
        self.shrink();
        let separator = Separator { score: right.scores[0], tail: std::mem::take(&mut right.tails[0]) };
        Sibling { separator, count: right.count(), kid: Arc::new(right) }
    }

    /// Adds the children of the node that followed, which `separator` kept apart.
    pub(super) fn append(&mut self, separator: Separator, right: &Node) {
        let seam = self.len();
        self.scores.extend_from_slice(&right.scores);
        self.tails.extend_from_slice(&right.tails);
        self.counts.extend_from_slice(&right.counts);
        (self.scores[seam], self.tails[seam]) = (separator.score, separator.tail);
        match (&mut self.kids, &right.kids) {
            (Kids::Leaves(kids), Kids::Leaves(more)) => kids.extend_from_slice(more),
            (Kids::Nodes(kids), Kids::Nodes(more)) => kids.extend_from_slice(more),
            _ => unreachable!("siblings have the same height"),
        }
        self.shrink();
    }

    /// The separator before child `index`.
    pub(super) fn separator(&self, index: usize) -> Separator {
        Separator { score: self.scores[index], tail: self.tails[index].clone() }
    }

    fn add_separator(&mut self, index: usize, separator: Separator, count: usize) {
        grow_gently(&mut self.scores);
        grow_gently(&mut self.tails);
        grow_gently(&mut self.counts);
        self.scores.insert(index, separator.score);
        self.tails.insert(index, separator.tail);
        self.counts.insert(index, count);
    }

    fn shrink(&mut self) {
        self.scores.shrink_to_fit();
        self.tails.shrink_to_fit();
        self.counts.shrink_to_fit();
        match &mut self.kids {
            Kids::Leaves(kids) => kids.shrink_to_fit(),
            Kids::Nodes(kids) => kids.shrink_to_fit(),
        }
    }
}

impl Separator {
    /// The shortest place after one element and not after the next.
    pub(super) fn between(left: (f64, &[u8]), right: (f64, &[u8])) -> Separator {
        if left.0 < right.0 {
            return Separator { score: right.0, tail: Box::default() };
        }
        let same = left.1.iter().zip(right.1).take_while(|(left, right)| left == right).count();
        Separator { score: right.0, tail: right.1[..right.1.len().min(same + 1)].into() }
    }

    /// Whether an element lies before it.
    pub(super) fn is_after(&self, score: f64, member: &[u8]) -> bool {
        match score.partial_cmp(&self.score) {
            Some(Ordering::Equal) => member < &*self.tail,
            order => order == Some(Ordering::Less),
        }
    }
}

impl Leaves {
    /// Bytes of the pages on the heap, and of the list of them.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes + self.pages.heap_bytes() + rounded(self.free.capacity() * size_of::<u32>())
    }

    #[cfg(test)]
    pub(super) fn page_bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    pub(super) fn get(&self, leaf: u32) -> &Leaf {
        &self.pages[leaf as usize]
    }

    /// Changes a page, and keeps count of its bytes.
    #[inline]
    pub(super) fn edit<R>(&mut self, leaf: u32, change: impl FnOnce(&mut Leaf) -> R) -> R {
        let page = &mut self.pages[leaf as usize];
        let before = page.heap_bytes();
        let result = change(page);
        self.bytes = self.bytes + page.heap_bytes() - before;
        result
    }

    /// A new page's number.
    pub(super) fn add(&mut self, page: Leaf) -> u32 {
        self.bytes += page.heap_bytes();
        if let Some(leaf) = self.take_free() {
            self.pages[leaf as usize] = page;
            return leaf;
        }
        self.pages.push(page);
        (self.pages.len() - 1) as u32
    }

    /// Frees a page.
    pub(super) fn remove(&mut self, leaf: u32) {
        let page = std::mem::take(&mut self.pages[leaf as usize]);
        self.bytes -= page.heap_bytes();
        grow_gently(&mut self.free);
        self.free.push(leaf);
    }

    /// If many numbers are free: the last page in use, and a free number that it had better have instead.
    pub(super) fn sparse(&mut self) -> Option<(u32, u32)> {
        if self.free.len() <= 8 + self.pages.len() / 4 {
            return None;
        }
        // Only free numbers have empty pages while there is more than one page.
        while self.pages.len() > 1 && self.pages.last().is_some_and(|page| page.count() == 0) {
            self.pages.pop();
        }
        if self.free.len() * 2 < self.free.capacity() {
            self.free.shrink_to_fit();
        }
        let last = (self.pages.len() - 1) as u32;
        Some((last, self.take_free().filter(|&leaf| leaf < last)?))
    }

    /// Gives the last page a free number.
    pub(super) fn renumber_last(&mut self, to: u32) {
        if let Some(page) = self.pages.pop() {
            self.pages[to as usize] = page;
        }
    }

    /// A free number. Those of pages that were cut off the end are passed over; none is left when the list grows again.
    fn take_free(&mut self) -> Option<u32> {
        while let Some(leaf) = self.free.pop() {
            if (leaf as usize) < self.pages.len() {
                return Some(leaf);
            }
        }
        None
    }

    /// Frees some pages; true while there are more. The tree is of no use afterwards.
    pub(super) fn free_some(&mut self, elements: usize) -> bool {
        let mut freed = 0;
        while let Some(page) = self.pages.pop() {
            freed += page.count().max(1);
            if freed >= elements {
                break;
            }
        }
        !self.pages.is_empty()
    }
}

/// Makes room for one more in steps of an eighth, not by doubling.
fn grow_gently<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        let want = (list.len() + 1 + list.len() / 8) * size_of::<T>();
        list.reserve_exact(rounded(want) / size_of::<T>() - list.len());
    }
}
