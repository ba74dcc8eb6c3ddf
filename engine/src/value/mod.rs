//! Values that hold elements: their packed forms and the structures of the large ones.

pub mod element;
pub mod stream;

/// Bytes from elsewhere that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed value")]
pub struct Malformed;

/// Bytes that an allocation of `bytes` takes.
#[inline]
pub fn rounded(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { crate::heap::rounded(bytes) }
}
