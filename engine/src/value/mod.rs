//! What values other than strings are made of.

pub mod ranked;

use crate::key::Hasher;

/// Bytes that do not describe what they should: from another process, or from a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed bytes")]
pub struct Malformed;

/// A large value: pages behind reference counts, copied on write, so that a clone is a snapshot.
pub trait Large: Clone + Send + Sync + 'static {
    /// Bytes on the heap, each allocation rounded as the allocator does; O(1).
    fn heap_bytes(&self) -> usize;
    /// Writes the elements of some pages from place `at` on in a private, versionless form; answers where to go on.
    fn write_part(&self, at: usize, out: &mut Vec<u8>) -> Option<usize>;
    /// Adds the elements of one part to a value under construction.
    fn read_part(&mut self, part: &[u8], hasher: &Hasher) -> Result<(), Malformed>;
    /// Frees about `elements` elements' worth of pages; true while there is more.
    fn free_some(&mut self, elements: usize) -> bool;
}

/// The bytes that an allocation of `bytes` takes from the global allocator.
pub const fn rounded(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=128 => (bytes + 15) & !15,
        129..=65536 => {
            // Four classes per power of two.
            let step = 1 << ((bytes - 1).ilog2() - 2);
            (bytes + step - 1) & !(step - 1)
        }
        _ => (bytes + 4095) & !4095,
    }
}
