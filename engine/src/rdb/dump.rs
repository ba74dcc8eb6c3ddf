//! A long value's payload, made in slices: from a snapshot, a piece at a time, answered when its length is known.

use std::mem;

use swell_wire::{Out, Segments};

use super::crc64::crc64_on;
use super::{VERSION, WORK_BYTES, kinds, write};
use crate::entry::{Content, Entry, Value};
use crate::slices::{BYTES_AT_ONCE, Room, Slices, is_long};
use crate::value::{Kept, KeptRef};

/// A payload that is being made.
struct Payload {
    from: From,
    crc: u64,
    body: Out,
}

/// What it is made from, and how far.
enum From {
    Collection(Kept, u64),
    /// The next part.
    String(Segments, usize),
    Nothing,
}

/// The answer to DUMP of a value that is too long to be dumped at once; nothing if it is not. Its work is counted in
/// units of [`WORK_BYTES`].
pub fn dump_in_slices(entry: &Entry<'_>, out: &Out) -> Option<Box<dyn Slices>> {
    let from = match entry.content() {
        Content::String(Value::Segments(segments)) if segments.len() > BYTES_AT_ONCE => {
            From::String(segments.clone(), 0)
        }
        Content::Collection(KeptRef::Large(large)) if is_long(entry, large.elements()) => {
            From::Collection(entry.to_kept()?, 0)
        }
        _ => return None,
    };
    Some(Box::new(Payload { from, crc: 0, body: Out::new(out.proto()) }))
}

impl Payload {
    fn add(&mut self, piece: Vec<u8>) {
        self.crc = crc64_on(self.crc, &piece);
        let mut out = Out::new(self.body.proto());
        out.raw(&piece);
        self.body.attach(out);
    }

    /// Makes the next piece; says whether there is more.
    fn piece(&mut self, room: Room) -> bool {
        let mut piece = Vec::new();
        let more = match &mut self.from {
            From::Nothing => false,
            From::Collection(kept, at) => match kept.as_ref() {
                KeptRef::Large(large) => {
                    let next = write::part(large, *at, room.bytes, &mut piece);
                    *at = next.unwrap_or(0);
                    next.is_some()
                }
                KeptRef::Compact(..) => false,
            },
            From::String(segments, at) => {
                if *at == 0 {
                    piece.push(kinds::STRING);
                    write::length(segments.len() as u64, &mut piece);
                }
                let parts = segments.parts();
                let mut bytes = 0;
                while *at < parts.len() && bytes < room.bytes {
                    piece.extend_from_slice(&parts[*at]);
                    (bytes, *at) = (bytes + parts[*at].len(), *at + 1);
                }
                *at < parts.len()
            }
        };
        self.add(piece);
        more
    }
}

impl Slices for Payload {
    fn step(&mut self, room: Room, out: &mut Out, work: &mut u64) -> bool {
        if self.piece(room) {
            return true;
        }
        self.add(VERSION.to_le_bytes().to_vec());
        let crc = self.crc;
        self.add(crc.to_le_bytes().to_vec());
        *work += self.body.len() as u64 / WORK_BYTES;
        out.bulk_attached(mem::take(&mut self.body));
        false
    }

    fn take_snapshot(&mut self) -> Option<Kept> {
        match mem::replace(&mut self.from, From::Nothing) {
            From::Collection(kept, _) => Some(kept),
            From::String(..) | From::Nothing => None,
        }
    }
}
