//! A store for a cache without a data directory: nothing outlives the process.

use swell_ring::{Epoch, Member, NodeId, SlotMap};

use super::{Kept, Record, Store};
use crate::error::StoreError;

/// Keeps nothing.
#[derive(Debug)]
pub struct Memory {
    first: u64,
}

impl Memory {
    /// `first`: the epoch, the version and the hand-over that count as the last ones, such as the time in milliseconds.
    /// Members that outlive the process have seen lower ones, and so they follow the next process.
    pub fn new(first: u64) -> Memory {
        Memory { first }
    }
}

impl Store for Memory {
    fn load(&mut self) -> Result<Kept, StoreError> {
        let mut kept = Kept::default();
        let nobody = Member { id: NodeId(0), address: String::new(), zone: String::new() };
        kept.map = SlotMap::single(Epoch(self.first.max(1)), nobody).without_member(NodeId(0));
        kept.state.version = self.first;
        kept.next_handover = self.first + 1;
        Ok(kept)
    }

    fn append(&mut self, _records: &[Record]) -> Result<(), StoreError> {
        Ok(())
    }
}
