//! The values that are more than a string: what their large forms have in common.

pub mod pages;

use crate::key::Hasher;

/// Bytes of a part were not what a writer of parts makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed part of a value")]
pub struct Malformed;

/// A large value: copied in O(pages), written and read in parts, freed in slices.
pub trait Large: Clone + Send + Sync + 'static {
    /// Accounted heap bytes, in O(1).
    fn heap_bytes(&self) -> usize;

    /// Writes the elements of some pages from place `at` on in a private form; the place to go on at, nothing at the
    /// end.
    fn write_part(&self, at: usize, out: &mut Vec<u8>) -> Option<usize>;

    /// Adds the elements of one part to a value under construction.
    ///
    /// # Errors
    /// [`Malformed`] for bytes that no writer made.
    fn read_part(&mut self, part: &[u8], hasher: &Hasher) -> Result<(), Malformed>;

    /// Frees about so many elements' worth of pages; true while there is more.
    fn free_some(&mut self, elements: usize) -> bool;
}

/// Bytes that the global allocator takes for an allocation of `size`: mimalloc has four classes per power of two.
pub fn rounded(size: usize) -> usize {
    match size {
        0 => 0,
        1..=64 => size.next_multiple_of(16),
        65..=128 => size.next_multiple_of(32),
        _ => size.next_multiple_of(((size - 1).checked_ilog2().map_or(1, |bits| 1 << bits)) / 4),
    }
}
