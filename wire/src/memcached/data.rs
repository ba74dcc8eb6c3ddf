//! A data block that does not stay in the buffer: long ones arrive as segments, ones that are too large are skipped.

use crate::arg::OwnedArgs;
use crate::long::LongArg;

/// A storage command whose data block is on its way.
#[derive(Debug)]
pub(super) struct Arriving {
    /// The words of its line.
    pub args: OwnedArgs,
    pub noreply: bool,
    pub data: Data,
}

/// What happens to the block.
#[derive(Debug)]
pub(super) enum Data {
    /// Kept, in segments.
    Keep(LongArg),
    /// Skipped, so many bytes more, whatever they are.
    Skip(usize),
}

impl Arriving {
    /// Heap bytes held, for the query buffer's limit.
    pub(super) fn heap_bytes(&self) -> usize {
        let data = match &self.data {
            Data::Keep(data) => data.heap_bytes(),
            Data::Skip(_) => 0,
        };
        size_of::<Self>() + self.args.heap_bytes() + data
    }
}
