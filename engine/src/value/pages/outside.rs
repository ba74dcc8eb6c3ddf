//! Elements that are too long for a page: each an allocation of its own, shared by the copies of a map.

use swell_wire::{Arg, SEGMENT_BYTES, Segments};

use crate::entry::Value;
use crate::value::rounded;

/// A long element. Values up to 64 KiB lie behind the key, longer ones in segments.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    bytes: Box<[u8]>,
    long: Option<Box<Segments>>,
    key_len: u32,
    /// Unix milliseconds.
    pub(super) expire_at_ms: Option<u64>,
}

/// Reference counts before what an `Arc` holds.
pub(super) const COUNTS_BYTES: usize = 16;

impl Outside {
    pub(super) fn new(key: &[u8], value: Arg<'_>, expire_at_ms: Option<u64>) -> Outside {
        let key_len = key.len() as u32;
        let (bytes, long) = match value {
            Arg::Slice(value) if value.len() <= SEGMENT_BYTES => ([key, value].concat(), None),
            Arg::Slice(value) => (key.to_vec(), Some(Box::new(Segments::from_slice(value)))),
            Arg::Segments(value) if value.len() > SEGMENT_BYTES => (key.to_vec(), Some(Box::new(value.clone()))),
            Arg::Segments(value) => ([key, &value.to_vec()].concat(), None),
        };
        Outside { bytes: bytes.into_boxed_slice(), long, key_len, expire_at_ms }
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.bytes[..self.key_len as usize]
    }

    pub(super) fn value(&self) -> Value<'_> {
        match &self.long {
            Some(segments) => Value::Segments(segments),
            None => Value::Slice(&self.bytes[self.key_len as usize..]),
        }
    }

    /// Adds bytes to the value's end.
    pub(super) fn append(&mut self, more: &[u8]) {
        if let Some(segments) = &mut self.long {
            return segments.extend(more);
        }
        let whole = [&self.bytes[self.key_len as usize..], more].concat();
        *self = Outside::new(self.key(), Arg::Slice(&whole), self.expire_at_ms);
    }

    /// Accounted heap bytes, those of the `Arc` around it among them.
    pub(super) fn heap_bytes(&self) -> usize {
        let long = self.long.as_ref().map_or(0, |long| rounded(size_of::<Segments>()) + long.heap_bytes());
        rounded(COUNTS_BYTES + size_of::<Outside>()) + rounded(self.bytes.len()) + long
    }
}
