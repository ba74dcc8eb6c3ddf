//! Writing RDB objects: lengths, strings, and each type in the encoding that Valkey writes it in.

use swell_wire::Segments;

use super::kinds;
use crate::entry::{Content, Entry, Value};
use crate::number::parse_i64;
use crate::value::chunks::{Chunks, NodeRef};
use crate::value::listpack::Listpack;
use crate::value::pages::{Element, PageMap};
use crate::value::ranked::Ranked;
use crate::value::{Form, KeptRef, LargeRef};

/// Strings up to this length are written as integers where they are one (Redis: `rdbTryIntegerEncoding`).
const INTEGER_TEXT_BYTES_MAX: usize = 11;

/// Elements of a hash or set that are written before it is looked how much that is.
const SCANNED_AT_ONCE: usize = 64;

/// Writes an entry's value: its type byte, then the object.
pub fn object(entry: &Entry<'_>, out: &mut Vec<u8>) {
    match entry.content() {
        Content::String(Value::Slice(bytes)) => {
            out.push(kinds::STRING);
            string(bytes, out);
        }
        Content::String(Value::Segments(segments)) => {
            out.push(kinds::STRING);
            long_string(segments, out);
        }
        Content::Collection(KeptRef::Compact(form, bytes)) => compact(form, bytes, out),
        Content::Collection(KeptRef::Large(large)) => {
            part(large, 0, usize::MAX, out);
        }
    }
}

/// Writes a large value from a place on (0: with its type byte) until `out` has `full` bytes or it ends; returns where to
/// go on, nothing at the end.
pub fn part(large: LargeRef<'_>, at: u64, full: usize, out: &mut Vec<u8>) -> Option<u64> {
    match large {
        LargeRef::List(list) => chunks(list, at, full, out),
        LargeRef::Hash(hash) => pages_of_hash(hash, at, full, out),
        LargeRef::Set(set) => pages_of_set(set, at, full, out),
        LargeRef::ZSet(zset) => ranked(zset, at, full, out),
        LargeRef::Stream(stream) => super::stream::write(stream, at, full, out),
    }
}

/// A length: 6, 14, 32 or 64 bits, the upper two bits of the first byte saying which.
pub fn length(len: u64, out: &mut Vec<u8>) {
    match len {
        0..0x40 => out.push(len as u8),
        0x40..0x4000 => out.extend_from_slice(&[0x40 | (len >> 8) as u8, len as u8]),
        0x4000..=0xffff_ffff => {
            out.push(0x80);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
}

/// A string, as an integer where it is a short one.
pub fn string(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.len() <= INTEGER_TEXT_BYTES_MAX
        && let Some(number) = parse_i64(bytes).and_then(|number| i32::try_from(number).ok())
    {
        return integer(number, out);
    }
    length(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A string in segments.
pub fn long_string(segments: &Segments, out: &mut Vec<u8>) {
    length(segments.len() as u64, out);
    segments.parts().iter().for_each(|part| out.extend_from_slice(part));
}

fn integer(number: i32, out: &mut Vec<u8>) {
    match number {
        -0x80..=0x7f => out.extend_from_slice(&[kinds::INT8, number as u8]),
        -0x8000..=0x7fff => {
            out.push(kinds::INT16);
            out.extend_from_slice(&(number as i16).to_le_bytes());
        }
        _ => {
            out.push(kinds::INT32);
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

fn value(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Slice(bytes) => string(bytes, out),
        Value::Segments(segments) => long_string(segments, out),
    }
}

/// A listpack or intset, verbatim. A list is a quicklist of one node.
fn compact(form: Form, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(match form {
        Form::HashPack => kinds::HASH_LISTPACK,
        Form::SetPack => kinds::SET_LISTPACK,
        Form::SetInts => kinds::SET_INTSET,
        Form::ZSetPack => kinds::ZSET_LISTPACK,
        _ => kinds::LIST_QUICKLIST_2,
    });
    if form == Form::ListPack {
        length(1, out);
        length(kinds::NODE_PACKED, out);
    }
    length(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A quicklist, node by node; a place is a node's number.
fn chunks(list: &Chunks, at: u64, full: usize, out: &mut Vec<u8>) -> Option<u64> {
    if at == 0 {
        out.push(kinds::LIST_QUICKLIST_2);
        length(list.nodes_len() as u64, out);
    }
    for (next, node) in (at..).zip(list.nodes().skip(at as usize)) {
        if out.len() >= full {
            return Some(next);
        }
        match node {
            NodeRef::Run(run, count) => {
                let mut pack = Listpack::new();
                pack.push_run(run, count);
                let bytes = pack.into_bytes();
                length(kinds::NODE_PACKED, out);
                length(bytes.len() as u64, out);
                out.extend_from_slice(&bytes);
            }
            NodeRef::Long(segments) => {
                length(kinds::NODE_PLAIN, out);
                long_string(segments, out);
            }
        }
    }
    None
}

fn pages_of_hash(hash: &PageMap, at: u64, full: usize, out: &mut Vec<u8>) -> Option<u64> {
    let expires = hash.volatile_len() > 0;
    if at == 0 {
        out.push(if expires { kinds::HASH_EXPIRY } else { kinds::HASH });
        length(hash.len() as u64, out);
    }
    pages(hash, at, full, out, |element, out| {
        string(element.key, out);
        value(element.value, out);
        if expires {
            let at = element.expire_at_ms.map_or(-1, |at| i64::try_from(at).unwrap_or(i64::MAX));
            out.extend_from_slice(&at.to_le_bytes());
        }
    })
}

fn pages_of_set(set: &PageMap, at: u64, full: usize, out: &mut Vec<u8>) -> Option<u64> {
    if at == 0 {
        out.push(kinds::SET);
        length(set.len() as u64, out);
    }
    pages(set, at, full, out, |element, out| string(element.key, out))
}

/// A place is a cursor of [`PageMap::scan`].
fn pages(
    map: &PageMap,
    at: u64,
    full: usize,
    out: &mut Vec<u8>,
    write: impl Fn(Element<'_>, &mut Vec<u8>),
) -> Option<u64> {
    let mut cursor = at;
    loop {
        if out.len() >= full {
            return Some(cursor);
        }
        cursor = map.scan(cursor, SCANNED_AT_ONCE, |element| write(element, out));
        if cursor == 0 {
            return None;
        }
    }
}

/// From the highest rank down, as Valkey writes them: whoever reads it builds a skiplist from its end. A place is how
/// many are written.
fn ranked(zset: &Ranked, at: u64, full: usize, out: &mut Vec<u8>) -> Option<u64> {
    if at == 0 {
        out.push(kinds::ZSET_2);
        length(zset.len() as u64, out);
    }
    for (next, (member, score)) in (at..).zip(zset.backward(zset.len().saturating_sub(at as usize))) {
        if out.len() >= full {
            return Some(next);
        }
        string(member, out);
        out.extend_from_slice(&score.to_le_bytes());
    }
    None
}
