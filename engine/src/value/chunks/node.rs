//! One node of a large list: a run of packed elements in a block of its own, or one long element.

use std::sync::Arc;

use swell_wire::Segments;

use crate::value::element::{self, Element};
use crate::value::rounded;

/// Bytes that an `Arc` of bytes has before them.
const COUNTS_BYTES: usize = 16;
/// Blocks up to this size, with the counts, double when they grow; the usual node's is no larger.
const DOUBLING_BYTES_MAX: usize = 8192;
const BLOCK_BYTES_MIN: usize = 64;

/// What a fresh block begins as.
static ZEROES: [u8; 2 * DOUBLING_BYTES_MAX] = [0; 2 * DOUBLING_BYTES_MAX];

#[derive(Clone, Debug)]
pub(super) enum Node {
    Run(Run),
    Long(Arc<Segments>),
}

/// Elements without header and end, somewhere in a block that is shared with copies of the list.
#[derive(Clone, Debug)]
pub(super) struct Run {
    block: Arc<[u8]>,
    start: u32,
    end: u32,
    count: u32,
}

impl Node {
    pub fn count(&self) -> usize {
        match self {
            Node::Run(run) => run.count(),
            Node::Long(_) => 1,
        }
    }

    /// Bytes outside of the list's own array of nodes.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Node::Run(run) => run.heap_bytes(),
            Node::Long(segments) => rounded(COUNTS_BYTES + size_of::<Segments>()) + segments.heap_bytes(),
        }
    }
}

impl Run {
    /// With these elements, in a block without room for more.
    pub fn of(elements: &[u8], count: usize) -> Run {
        let mut run = Run { block: block_of(tight(elements.len())), start: 0, end: 0, count: count as u32 };
        run.exchange(0, 0, elements.len()).copy_from_slice(elements);
        run
    }

    /// With one element, and some room.
    pub fn new(element: Element<'_>) -> Run {
        let bytes = element.encoded_bytes();
        let mut run = Run { block: block_of(roomy(bytes)), start: 0, end: bytes as u32, count: 1 };
        element.encode(&mut Arc::make_mut(&mut run.block)[..bytes]);
        run
    }

    /// The elements.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.block[self.start as usize..self.end as usize]
    }

    #[inline]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    #[inline]
    pub fn count(&self) -> usize {
        self.count as usize
    }

    #[inline]
    pub fn heap_bytes(&self) -> usize {
        rounded(COUNTS_BYTES + self.block.len())
    }

    /// `both`: the next ones may come at either end.
    #[inline]
    pub fn push_back(&mut self, element: Element<'_>, both: bool) {
        let bytes = element.encoded_bytes();
        self.make_room(0, bytes, both);
        let end = self.end as usize;
        element.encode(&mut Arc::make_mut(&mut self.block)[end..end + bytes]);
        self.end += bytes as u32;
        self.count += 1;
    }

    /// `both`: the next ones may come at either end.
    #[inline]
    pub fn push_front(&mut self, element: Element<'_>, both: bool) {
        let bytes = element.encoded_bytes();
        self.make_room(bytes, 0, both);
        let start = self.start as usize;
        element.encode(&mut Arc::make_mut(&mut self.block)[start - bytes..start]);
        self.start -= bytes as u32;
        self.count += 1;
    }

    /// Puts an element before the one with this index.
    pub fn insert(&mut self, index: usize, element: Element<'_>) {
        let at = self.offset(index);
        element.encode(self.exchange(at, 0, element.encoded_bytes()));
        self.count += 1;
    }

    /// Puts an element in the place of the one with this index.
    pub fn replace(&mut self, index: usize, element: Element<'_>) {
        let at = self.offset(index);
        let old = element::skip(&self.bytes()[at..]).unwrap_or(0);
        element.encode(self.exchange(at, old, element.encoded_bytes()));
    }

    /// Takes `count` elements away from this index on. At either end that moves nothing.
    pub fn remove(&mut self, index: usize, count: usize) {
        let from = self.offset(index);
        let to = self.offset(index + count);
        if from == 0 {
            self.start += to as u32;
        } else if to == self.len() {
            self.end = self.start + from as u32;
        } else {
            self.exchange(from, to - from, 0);
        }
        self.count -= count as u32;
    }

    /// Keeps the elements whose place, in bytes, is not among `gone` (ascending).
    pub fn retain(&mut self, gone: &[usize]) {
        let mut gone_next = gone.iter().copied().peekable();
        let mut kept = Vec::with_capacity(self.len());
        let (mut rest, mut at) = (self.bytes(), 0);
        while let Some(total) = element::skip(rest) {
            if gone_next.peek() == Some(&at) {
                gone_next.next();
            } else {
                kept.extend_from_slice(&rest[..total]);
            }
            rest = &rest[total..];
            at += total;
        }
        *self = Run::of(&kept, self.count() - gone.len());
    }

    /// Splits off the elements from this index on.
    pub fn split_off(&mut self, index: usize) -> Run {
        let at = self.offset(index);
        let (left, right) = self.bytes().split_at(at);
        let (left, right) = (Run::of(left, index), Run::of(right, self.count() - index));
        *self = left;
        right
    }

    /// Adds the elements of another run.
    pub fn join(&mut self, other: &Run) {
        *self = Run::of(&[self.bytes(), other.bytes()].concat(), self.count() + other.count());
    }

    /// Gives room back that a node in the middle does not need.
    pub fn seal(&mut self) {
        if rounded(COUNTS_BYTES + self.len()) < self.heap_bytes() {
            *self = Run::of(self.bytes(), self.count());
        }
    }

    /// Place in bytes of the element with this index, which may be one behind the last. Walks from the nearer end.
    pub fn offset(&self, index: usize) -> usize {
        let mut bytes = self.bytes();
        if index <= self.count() / 2 {
            for _ in 0..index {
                bytes = &bytes[element::skip(bytes).unwrap_or(0)..];
            }
            self.len() - bytes.len()
        } else {
            for _ in index..self.count() {
                bytes = &bytes[..bytes.len() - element::skip_back(bytes).unwrap_or(0)];
            }
            bytes.len()
        }
    }

    /// Makes `old` bytes at `at` into `new` ones, to be written.
    fn exchange(&mut self, at: usize, old: usize, new: usize) -> &mut [u8] {
        if new > old {
            self.make_room(0, new - old, false);
        }
        let (from, end) = (self.start as usize + at, self.end as usize);
        let block = Arc::make_mut(&mut self.block);
        block.copy_within(from + old..end, from + new);
        self.end = (end + new - old) as u32;
        &mut block[from..from + new]
    }

    /// Sees to it that there are so many bytes before and behind the elements.
    #[inline]
    fn make_room(&mut self, front: usize, back: usize, both: bool) {
        if (self.start as usize) < front || self.block.len() - (self.end as usize) < back {
            self.relocate(front, back, both);
        }
    }

    /// Moves the elements within their block, if that gives room for a while, or else to a larger one. What is more
    /// than needed goes to the end that grows.
    #[cold]
    fn relocate(&mut self, front: usize, back: usize, both: bool) {
        let (used, capacity) = (self.len(), self.block.len());
        let need = front + used + back;
        let spare = capacity - used;
        // Room at the wrong end, if it is little, is not worth moving everything for: that would come again soon.
        let is_worth = need <= capacity && spare >= used / 4;
        let target = match (is_worth, spare > 0) {
            (true, _) => capacity,
            (false, false) => roomy(need),
            (false, true) => roomy(need).max(tight(need + used / 2)),
        };
        let extra = target - need;
        let start = match (both, front > 0) {
            (true, _) => front + extra / 2,
            (false, true) => front + extra,
            (false, false) => front,
        };
        let old = self.start as usize..self.end as usize;
        match Arc::get_mut(&mut self.block) {
            Some(block) if is_worth => block.copy_within(old, start),
            _ => {
                let mut fresh = block_of(target);
                Arc::make_mut(&mut fresh)[start..start + used].copy_from_slice(&self.block[old]);
                self.block = fresh;
            }
        }
        self.start = start as u32;
        self.end = (start + used) as u32;
    }
}

/// Capacity of a block that holds so many bytes and no more than the allocator gives anyway.
fn tight(bytes: usize) -> usize {
    rounded(COUNTS_BYTES + bytes) - COUNTS_BYTES
}

/// Capacity of a block that holds so many bytes and will grow.
fn roomy(bytes: usize) -> usize {
    match COUNTS_BYTES + bytes {
        whole @ ..=DOUBLING_BYTES_MAX => whole.next_power_of_two().max(BLOCK_BYTES_MIN) - COUNTS_BYTES,
        _ => tight(bytes + bytes / 4),
    }
}

fn block_of(capacity: usize) -> Arc<[u8]> {
    match ZEROES.get(..capacity) {
        Some(zeroes) => Arc::from(zeroes),
        None => Arc::from(vec![0; capacity]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_small() {
        assert_eq!(size_of::<Node>(), 32);
    }
}
