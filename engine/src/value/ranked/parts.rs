//! A large sorted set made from sorted elements, taken to another process in parts, and freed in slices.

use super::{Ranked, Table};
use crate::key::Hasher;
use crate::value::{Large, Malformed};

/// A part ends with the element that reaches this many bytes.
const PART_BYTES: usize = 32 * 1024;
/// An element of a part: score (8 bytes), length of the member (4 bytes), both little-endian, then the member.
const HEAD_BYTES: usize = 12;

impl Ranked {
    /// A sorted set of elements that come in order, each member once; full pages, one pass.
    pub fn from_sorted<'a>(elements: impl IntoIterator<Item = (&'a [u8], f64)>, hasher: &Hasher) -> Ranked {
        let mut ranked = Ranked::new();
        for (member, score) in elements {
            ranked.insert(member, score, hasher);
        }
        ranked
    }
}

impl Large for Ranked {
    fn elements(&self) -> usize {
        self.len()
    }

    fn heap_bytes(&self) -> usize {
        Ranked::heap_bytes(self)
    }

    /// `at` is a rank.
    fn write_part(&self, at: usize, out: &mut Vec<u8>) -> Option<usize> {
        let begin = out.len();
        for (rank, (member, score)) in (at..).zip(self.forward(at)) {
            if out.len() - begin >= PART_BYTES {
                return Some(rank);
            }
            out.extend_from_slice(&score.to_le_bytes());
            out.extend_from_slice(&(member.len() as u32).to_le_bytes());
            out.extend_from_slice(member);
        }
        None
    }

    fn read_part(&mut self, mut part: &[u8], hasher: &Hasher) -> Result<(), Malformed> {
        while !part.is_empty() {
            let (head, rest) = part.split_at_checked(HEAD_BYTES).ok_or(Malformed)?;
            let (score, len) = head.split_at(8);
            let score = f64::from_le_bytes(score.try_into().map_err(|_| Malformed)?);
            let len = u32::from_le_bytes(len.try_into().map_err(|_| Malformed)?);
            let (member, rest) = rest.split_at_checked(len as usize).ok_or(Malformed)?;
            if score.is_nan() || self.insert(member, score, hasher).is_some() {
                return Err(Malformed);
            }
            part = rest;
        }
        Ok(())
    }

    fn free_some(&mut self, elements: usize) -> bool {
        let more = self.table.free_some(elements);
        self.tree.free_some(elements) || more || self.end()
    }
}

impl Ranked {
    /// Leaves an empty set behind; there is nothing more to free.
    fn end(&mut self) -> bool {
        self.table = Table::default();
        self.tree = Default::default();
        self.count_bytes();
        false
    }
}
