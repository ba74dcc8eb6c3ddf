//! A map in parts, for its way to another process: whole elements, and long values in pieces.
//!
//! A part is a sequence of records: form u8, key length u32, bytes u32, then (with `EXPIRES`) expiry u64, key, bytes.

use std::sync::Arc;

use swell_wire::limits::BULK_BYTES_MAX;
use swell_wire::{Arg, SEGMENT_BYTES};

use super::element::take;
use super::{Element, PageMap};
use crate::entry::Value;
use crate::key::Hasher;
use crate::value::{Large, Malformed};

/// A part is closed once it has this many bytes.
const PART_BYTES: usize = 32 * 1024;

const PLAIN: u8 = 0;
const EXPIRES: u8 = 1;
/// The next 64 KiB, or the rest, of the value whose beginning came right before; without the key.
const MORE: u8 = 2;

/// A place between two parts: piece of a long value, slot, directory's place.
const PIECE_BITS: u32 = 20;
const SLOT_BITS: u32 = 20;

impl Large for PageMap {
    fn elements(&self) -> usize {
        self.len()
    }

    fn heap_bytes(&self) -> usize {
        PageMap::heap_bytes(self)
    }

    fn write_part(&self, at: usize, out: &mut Vec<u8>) -> Option<usize> {
        let begin = out.len();
        let mut place = at >> (PIECE_BITS + SLOT_BITS);
        let mut slot = at >> PIECE_BITS & ((1 << SLOT_BITS) - 1);
        let mut piece = at & ((1 << PIECE_BITS) - 1);
        while let Some(&page) = self.directory.get(place) {
            let page = &self.pages[page as usize];
            while slot < page.count() {
                if out.len() - begin >= PART_BYTES {
                    return Some(place << (PIECE_BITS + SLOT_BITS) | slot << PIECE_BITS | piece);
                }
                piece += 1;
                if !write_piece(&self.element(page.item(slot)), piece - 1, out) {
                    (slot, piece) = (slot + 1, 0);
                }
            }
            slot = 0;
            place += 1 << (self.depth - page.depth);
        }
        None
    }

    fn read_part(&mut self, part: &[u8], hasher: &Hasher) -> Result<(), Malformed> {
        let mut rest = part;
        while !rest.is_empty() {
            let form = take(&mut rest, 1)?[0];
            let key_len = number(&mut rest)?;
            let len = number(&mut rest)?;
            let expire_at_ms = match form {
                EXPIRES => Some(u64::from_le_bytes(*take(&mut rest, 8)?.first_chunk().ok_or(Malformed)?)),
                PLAIN | MORE => None,
                _ => return Err(Malformed),
            };
            let key = take(&mut rest, key_len)?;
            let value = take(&mut rest, len)?;
            if form == MORE {
                self.lengthen(value)?;
            } else if self.set(hasher, key, Arg::Slice(value), expire_at_ms) {
                // No key is there twice.
                return Err(Malformed);
            }
        }
        Ok(())
    }

    fn free_some(&mut self, elements: usize) -> bool {
        self.directory = Vec::new();
        let mut freed = 0;
        while freed < elements {
            let count = match (self.pages.pop(), self.outside.pop()) {
                (None, None) => break,
                (page, outside) => page.map_or(0, |page| page.count()) + usize::from(outside.is_some()),
            };
            freed += count.max(1);
        }
        (self.len, self.volatile, self.element_bytes, self.depth) = (0, 0, 0, 0);
        !self.pages.is_empty() || !self.outside.is_empty()
    }
}

impl PageMap {
    /// Adds bytes to the long value that was added last.
    fn lengthen(&mut self, more: &[u8]) -> Result<(), Malformed> {
        let last = self.outside.last_mut().ok_or(Malformed)?;
        let len = last.value().len();
        if len == 0 || !len.is_multiple_of(SEGMENT_BYTES) || len + more.len() > BULK_BYTES_MAX {
            return Err(Malformed);
        }
        self.element_bytes -= last.heap_bytes();
        Arc::make_mut(last).append(more);
        self.element_bytes += last.heap_bytes();
        Ok(())
    }
}

/// Writes piece `piece` of an element; says whether there is one more.
fn write_piece(element: &Element<'_>, piece: usize, out: &mut Vec<u8>) -> bool {
    let (bytes, pieces) = match &element.value {
        Value::Slice(bytes) => (*bytes, 1),
        Value::Segments(segments) => {
            let parts = segments.parts();
            (parts.get(piece).map_or(&[][..], |part| part.as_slice()), parts.len())
        }
    };
    let (form, key) = match (piece, element.expire_at_ms) {
        (0, None) => (PLAIN, element.key),
        (0, Some(_)) => (EXPIRES, element.key),
        _ => (MORE, &[][..]),
    };
    out.push(form);
    out.extend_from_slice(&(key.len() as u32).to_le_bytes());
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    if let (EXPIRES, Some(at)) = (form, element.expire_at_ms) {
        out.extend_from_slice(&at.to_le_bytes());
    }
    out.extend_from_slice(key);
    out.extend_from_slice(bytes);
    piece + 1 < pieces
}

fn number(from: &mut &[u8]) -> Result<usize, Malformed> {
    let four = take(from, 4)?.first_chunk().ok_or(Malformed)?;
    Ok(u32::from_le_bytes(*four) as usize)
}
