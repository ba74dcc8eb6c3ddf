//! Redis's own byte form of values: what DUMP answers and RESTORE takes, and what RDB files hold.
//!
//! A payload is a type byte, the object, the version of the format (u16) and a CRC-64 of all that (both little-endian).
//! What is written is what Valkey 9 writes but for compression, which is left to the reader's taste; what is read is
//! every form since Redis 2 but modules'.

mod crc64;
mod dump;
pub mod functions;
mod lzf;
mod objects;
mod read;
mod stream;
mod write;
mod ziplist;

use crate::entry::Entry;
use crate::key::Hasher;
use crate::value::{Kept, Limits};

/// The version that Valkey 9 writes, and the highest that is read.
const VERSION: u16 = 80;
/// Versions that other descendants of Redis have taken since Redis 7.2 (11): not what Valkey would mean by them.
const FOREIGN_VERSIONS: std::ops::RangeInclusive<u16> = 12..=79;
/// Version and checksum.
const FOOTER_BYTES: usize = 10;

/// Type bytes and marks (Redis's `rdb.h`).
mod kinds {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    pub const ZSET_2: u8 = 5;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM_LISTPACKS: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_LISTPACKS_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_LISTPACKS_3: u8 = 21;
    /// Fields with expiries (Valkey 9).
    pub const HASH_EXPIRY: u8 = 22;

    pub const INT8: u8 = 0xc0;
    pub const INT16: u8 = 0xc1;
    pub const INT32: u8 = 0xc2;
    pub const LZF: u8 = 0xc3;

    pub const NODE_PLAIN: u64 = 1;
    pub const NODE_PACKED: u64 = 2;
}

/// A value from a payload.
#[derive(Debug)]
pub enum Restored {
    String(Vec<u8>),
    Collection(Kept),
}

/// Why a payload is refused. Nothing was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPayload {
    /// Too short, of another version, or the checksum differs.
    Footer,
    /// The object is none.
    Format,
}

pub use dump::dump_in_slices;

/// Payload bytes that count as one unit of DUMP's and RESTORE's work beyond the first.
pub const WORK_BYTES: u64 = 64;

/// The payload of an entry's value.
pub fn dump(entry: &Entry<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    write::object(entry, &mut payload);
    payload.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = crc64::crc64(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

/// Bytes of an entry's value in an RDB file: a payload's without type, version and checksum. As much work as writing it.
pub fn object_len(entry: &Entry<'_>) -> usize {
    let mut object = Vec::new();
    write::object(entry, &mut object);
    object.len().saturating_sub(1)
}

/// Reads a payload; what it makes has the encoding that `limits` say. The bytes may be anybody's.
///
/// # Errors
/// See [`BadPayload`].
pub fn restore(payload: &[u8], hasher: &Hasher, limits: &Limits) -> Result<Restored, BadPayload> {
    let body = checked(payload)?;
    let mut reader = read::Reader::new(body);
    let value = objects::object(&mut reader, hasher, limits)?;
    if reader.is_empty() { Ok(value) } else { Err(BadPayload::Format) }
}

/// The payload without its footer, if that is sound.
fn checked(payload: &[u8]) -> Result<&[u8], BadPayload> {
    let body_len = payload.len().checked_sub(FOOTER_BYTES).ok_or(BadPayload::Footer)?;
    let (summed, checksum) = payload.split_last_chunk().ok_or(BadPayload::Footer)?;
    let (body, version) = summed.split_last_chunk().ok_or(BadPayload::Footer)?;
    debug_assert_eq!(body.len(), body_len);
    let version = u16::from_le_bytes(*version);
    if version > VERSION || FOREIGN_VERSIONS.contains(&version) || crc64::crc64(summed) != u64::from_le_bytes(*checksum)
    {
        return Err(BadPayload::Footer);
    }
    Ok(body)
}
