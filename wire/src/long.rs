//! A long argument while it arrives: its bytes leave the read buffer for segments at once.

use crate::segments::Segments;

/// The bytes of one argument so far, and how many are still to come.
#[derive(Debug)]
pub(crate) struct LongArg {
    segments: Segments,
    left: usize,
}

impl LongArg {
    /// An argument of `len` bytes, none of them here yet.
    pub(crate) fn new(len: usize) -> Self {
        Self { segments: Segments::new(), left: len }
    }

    /// Takes what belongs to this argument from the front of `bytes` and says how much that was.
    pub(crate) fn fill(&mut self, bytes: &[u8]) -> usize {
        let now = self.left.min(bytes.len());
        self.segments.extend(&bytes[..now]);
        self.left -= now;
        now
    }

    /// Bytes still to come, without the line end.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Heap bytes held.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.segments.heap_bytes()
    }

    /// The whole argument.
    pub(crate) fn into_segments(self) -> Segments {
        debug_assert_eq!(self.left, 0, "an argument is taken when it is whole");
        self.segments
    }
}
