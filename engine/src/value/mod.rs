//! Values that hold elements: their packed forms and the structures of the large ones.

pub mod element;
pub mod intset;
pub mod listpack;

/// Bytes from elsewhere that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed value")]
pub struct Malformed;
