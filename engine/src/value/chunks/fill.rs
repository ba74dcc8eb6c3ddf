//! How full a list's listpack or node may be: `list-max-listpack-size`.

use crate::value::element::Element;
use crate::value::item::Item;

/// Header and end of a listpack, which Valkey's nodes have.
const PACK_BYTES: usize = 7;
/// What Valkey takes an element's encoding to add to its string, when it decides whether a node has room.
const ESTIMATE_BYTES: usize = 8;
/// Bytes of a node whose limit is a number of elements.
const SAFE_BYTES: usize = 8192;
/// Bytes for -1 … -5.
const SIZES: [usize; 5] = [4096, 8192, 16_384, 32_768, 65_536];
/// Largest number of elements.
const COUNT_MAX: i64 = (1 << 15) - 1;
/// A node's block has two counts before its elements. A node is full before it would need a larger block for them.
const COUNTS_BYTES: usize = 16;

/// A node's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Bytes of its listpack, and of an element that is not a node of its own.
    bytes: usize,
    /// Elements, if these are limited.
    count: Option<usize>,
}

impl Fill {
    /// From the option's value: positive for a number of elements, -1 to -5 for 4 to 64 KiB.
    pub fn new(size: i64) -> Fill {
        match size {
            0.. => Fill { bytes: SAFE_BYTES, count: Some(size.clamp(1, COUNT_MAX) as usize) },
            _ => Fill { bytes: SIZES[(!size).clamp(0, 4) as usize], count: None },
        }
    }

    /// Whether a listpack of so many bytes and elements is too large; `half`: larger than half of what is allowed,
    /// which is where a list that shrinks becomes a listpack again.
    #[inline]
    pub fn exceeds(&self, bytes: usize, count: usize, half: bool) -> bool {
        match self.count {
            None => bytes > self.bytes >> u32::from(half),
            // On its way back the number alone counts.
            Some(most) if half => count > most / 2,
            Some(most) => bytes > self.bytes || count > most,
        }
    }

    /// The same of a run without header and end.
    pub(super) fn run_exceeds(&self, bytes: usize, count: usize) -> bool {
        self.exceeds(bytes + PACK_BYTES, count, false) || bytes + COUNTS_BYTES > self.bytes
    }

    /// The element, if it is not so long that it must have a node of its own.
    #[inline]
    pub fn short<'a>(&self, item: Item<'a>) -> Option<Element<'a>> {
        match item {
            Item::Short(Element::Str(bytes)) if bytes.len() > self.bytes => None,
            Item::Short(element) => Some(element),
            Item::Long(_) => None,
        }
    }

    /// Whether a run of so many bytes and elements has room for one more.
    #[inline]
    pub fn allows(&self, bytes: usize, count: usize, element: Element<'_>) -> bool {
        let length = match element {
            Element::Str(bytes) => bytes.len(),
            Element::Int(_) => element.len(),
        };
        let estimate = bytes + PACK_BYTES + length + ESTIMATE_BYTES;
        estimate <= self.bytes
            && bytes + element.encoded_bytes() + COUNTS_BYTES <= self.bytes
            && self.count.is_none_or(|most| count < most)
    }
}
