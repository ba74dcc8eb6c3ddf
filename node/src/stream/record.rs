//! The records of a stream: what they say and how they are written. Numbers are little-endian or LEB128 (*varint*).
//!
//! ```text
//! Put       1  place  fields  key  value          place: database in the low four bits, form of the value above
//! Delete    2  place  key                         key, value, argument: varint length, then the bytes
//! ExpireAt  3  place  0 | 1 u64  key              unix milliseconds
//! Argv      4  place  fields  key  varint count, arguments
//! Clear     5  place  slot u16                    every key of the slot in this database is gone
//! LongHead  6  bytes                              the next piece of a record that is too long for one
//! LongPart  7  bytes                              the next piece of its value (or last argument)
//! LongMore 10  bytes                              the beginning of a part of a large value: more of it follows
//! LongEnd   8                                     it is complete
//! End       9  varint records  varint slots, for each: slot u16, varint keys
//! fields:      flags u8  clock u24  [expiry u64] [cas u64] [memcached flags u32]
//! ```
//!
//! The slot of a key is not written: the key says it. A record with a value over 64 KiB is written as a head without
//! the value's bytes (marked `OUTSIDE`), in pieces, and the value's segments one by one; a large value as the parts that
//! it writes itself ([`swell_engine::value::Large`]), its length being the number of its elements.

use swell_engine::Db;
use swell_engine::effect::Effect;
use swell_engine::entry::{Content, Entry, Fields, Value};
use swell_engine::value::{Form, KeptRef};
use swell_ring::Slot;
use swell_wire::{Arg, Args};

use super::StreamError;
use super::spool::LongValue;

/// Arguments of a canonical command at most.
const ARGV_MAX: usize = 1 << 20;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const EXPIRE_AT: u8 = 3;
const ARGV: u8 = 4;
const CLEAR: u8 = 5;
const LONG_HEAD: u8 = 6;
const LONG_PART: u8 = 7;
const LONG_END: u8 = 8;
const END: u8 = 9;
const LONG_MORE: u8 = 10;
/// With `Put` and `Argv`: the bytes of the value (the last argument) come in `LongPart`s.
const OUTSIDE: u8 = 0x80;

const HAS_EXPIRY: u8 = 1;
const HAS_CAS: u8 = 1 << 1;
const HAS_MC_FLAGS: u8 = 1 << 2;
const IS_RAW: u8 = 1 << 3;
const IS_MEMCACHED: u8 = 1 << 4;

/// One record, read in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    Put { db: Db, key: &'a [u8], form: Form, value: Payload<'a>, fields: Fields },
    Delete { db: Db, key: &'a [u8] },
    ExpireAt { db: Db, key: &'a [u8], at_ms: Option<u64> },
    Argv { db: Db, key: &'a [u8], args: Vec<Payload<'a>>, fields: Fields },
    Clear { db: Db, slot: Slot },
    LongHead(&'a [u8]),
    LongPart(&'a [u8]),
    LongMore(&'a [u8]),
    LongEnd,
    End(End),
}

/// Bytes in the record, or beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    Here(&'a [u8]),
    /// So many bytes in `LongPart`s; of a large value, so many elements.
    Outside(u64),
}

/// What a stream was, for the target to compare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Records before this one.
    pub records: u64,
    /// Keys of every slot of the group in all databases, ascending by slot.
    pub keys: Vec<(Slot, u64)>,
}

impl End {
    /// Keys of the whole group.
    pub fn total_keys(&self) -> u64 {
        self.keys.iter().map(|(_, keys)| keys).fold(0, |sum, keys| sum.saturating_add(*keys))
    }
}

/// Writes the snapshot of an entry. Returns what is to follow it in pieces, if anything.
#[inline]
pub fn put(db: Db, entry: &Entry<'_>, out: &mut Vec<u8>) -> Option<LongValue> {
    let (key, fields) = (entry.key(), entry.fields());
    let head = |form: Form, outside: bool, out: &mut Vec<u8>| {
        out.extend_from_slice(&[PUT | if outside { OUTSIDE } else { 0 }, place(db, form)]);
        write_fields(&fields, out);
        write_bytes(key, out);
    };
    match entry.content() {
        Content::String(Value::Slice(bytes)) => {
            head(Form::Bytes, false, out);
            write_bytes(bytes, out);
            None
        }
        Content::String(Value::Segments(segments)) => {
            head(Form::Bytes, true, out);
            write_varint(segments.len() as u64, out);
            Some(LongValue::Segments(segments.clone()))
        }
        Content::Collection(KeptRef::Compact(form, bytes)) => {
            head(form, false, out);
            write_bytes(bytes, out);
            None
        }
        Content::Collection(KeptRef::Large(large)) => {
            head(large.form(), true, out);
            write_varint(large.elements() as u64, out);
            Some(LongValue::Large(large.to_box()))
        }
    }
}

/// Writes what happened to a key. Returns what is to follow, as [`put`] does.
pub fn effect(db: Db, key: &[u8], effect: &Effect<'_>, out: &mut Vec<u8>) -> Option<LongValue> {
    match effect {
        Effect::Put(entry) => return put(db, entry, out),
        Effect::Argv(args, entry) => return argv(db, key, args.as_args(), &entry.fields(), out),
        Effect::Delete => out.extend_from_slice(&[DELETE, place(db, Form::Bytes)]),
        Effect::ExpireAt(at_ms) => {
            out.extend_from_slice(&[EXPIRE_AT, place(db, Form::Bytes), u8::from(at_ms.is_some())]);
            out.extend(at_ms.iter().flat_map(|at| at.to_le_bytes()));
        }
    }
    write_bytes(key, out);
    None
}

/// Writes that a slot's keys in one database are gone.
pub fn clear(slot: Slot, db: Db, out: &mut Vec<u8>) {
    out.extend_from_slice(&[CLEAR, place(db, Form::Bytes)]);
    out.extend_from_slice(&slot.number().to_le_bytes());
}

/// Writes the last record.
pub fn end(end: &End, out: &mut Vec<u8>) {
    out.push(END);
    write_varint(end.records, out);
    write_varint(end.keys.len() as u64, out);
    for (slot, keys) in &end.keys {
        out.extend_from_slice(&slot.number().to_le_bytes());
        write_varint(*keys, out);
    }
}

/// Writes a piece of a long record's head.
pub fn long_head(piece: &[u8], out: &mut Vec<u8>) {
    out.push(LONG_HEAD);
    write_bytes(piece, out);
}

/// Writes a piece of a long record's value.
pub fn long_part(piece: &[u8], out: &mut Vec<u8>) {
    out.push(LONG_PART);
    write_bytes(piece, out);
}

/// Writes a piece of a part of a large value that goes on in the next record.
pub fn long_more(piece: &[u8], out: &mut Vec<u8>) {
    out.push(LONG_MORE);
    write_bytes(piece, out);
}

/// Writes that a long record is complete.
pub fn long_end(out: &mut Vec<u8>) {
    out.push(LONG_END);
}

/// Takes the record at the front off; nothing where there are no more bytes.
///
/// # Errors
/// The bytes are no record, or not a whole one.
#[inline]
pub fn next<'a>(bytes: &mut &'a [u8]) -> Result<Option<Record<'a>>, StreamError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader(bytes);
    let record = reader.record()?;
    *bytes = reader.0;
    Ok(Some(record))
}

fn argv(db: Db, key: &[u8], args: Args<'_>, fields: &Fields, out: &mut Vec<u8>) -> Option<LongValue> {
    let last = args.len().checked_sub(1).map(|last| args.get(last));
    let outside = match last {
        Some(Arg::Segments(segments)) => Some(segments.clone()),
        _ => None,
    };
    out.extend_from_slice(&[ARGV | if outside.is_some() { OUTSIDE } else { 0 }, place(db, Form::Bytes)]);
    write_fields(fields, out);
    write_bytes(key, out);
    write_varint(args.len() as u64, out);
    for at in 0..args.len() - usize::from(outside.is_some()) {
        write_bytes(&args.get(at).to_bytes(), out);
    }
    if let Some(segments) = &outside {
        write_varint(segments.len() as u64, out);
    }
    outside.map(LongValue::Segments)
}

fn place(db: Db, form: Form) -> u8 {
    db.number() | (form as u8) << 4
}

#[inline]
fn write_fields(fields: &Fields, out: &mut Vec<u8>) {
    let flag = |yes: bool, flag: u8| if yes { flag } else { 0 };
    let flags = flag(fields.expire_at_ms.is_some(), HAS_EXPIRY)
        | flag(fields.cas.is_some(), HAS_CAS)
        | flag(fields.mc_flags != 0, HAS_MC_FLAGS)
        | flag(fields.raw, IS_RAW)
        | flag(fields.memcached, IS_MEMCACHED);
    let [low, middle, high, _] = fields.clock.to_le_bytes();
    out.extend_from_slice(&[flags, low, middle, high]);
    if let Some(at_ms) = fields.expire_at_ms {
        out.extend_from_slice(&at_ms.to_le_bytes());
    }
    if let Some(cas) = fields.cas {
        out.extend_from_slice(&cas.to_le_bytes());
    }
    if fields.mc_flags != 0 {
        out.extend_from_slice(&fields.mc_flags.to_le_bytes());
    }
}

#[inline]
fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

#[inline]
fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    #[inline]
    fn record(&mut self) -> Result<Record<'a>, StreamError> {
        let op = self.byte()?;
        let outside = op & OUTSIDE != 0;
        if outside && !matches!(op & !OUTSIDE, PUT | ARGV) {
            return Err(StreamError::Bad("a record that has no value outside"));
        }
        match op & !OUTSIDE {
            PUT => {
                let (db, form) = self.place_and_form()?;
                if outside != form.is_large() && form != Form::Bytes {
                    return Err(StreamError::Bad("a value in the wrong place"));
                }
                let (fields, key) = (self.fields()?, self.bytes()?);
                Ok(Record::Put { db, key, form, value: self.payload(outside)?, fields })
            }
            DELETE => Ok(Record::Delete { db: self.place()?, key: self.bytes()? }),
            EXPIRE_AT => {
                let db = self.place()?;
                let at_ms = match self.byte()? {
                    0 => None,
                    1 => Some(u64::from_le_bytes(self.array()?)),
                    _ => return Err(StreamError::Bad("an expiry that neither is nor is not")),
                };
                Ok(Record::ExpireAt { db, key: self.bytes()?, at_ms })
            }
            ARGV => self.argv(outside),
            CLEAR => Ok(Record::Clear { db: self.place()?, slot: self.slot()? }),
            LONG_HEAD => Ok(Record::LongHead(self.bytes()?)),
            LONG_PART => Ok(Record::LongPart(self.bytes()?)),
            LONG_MORE => Ok(Record::LongMore(self.bytes()?)),
            LONG_END => Ok(Record::LongEnd),
            END => self.end(),
            _ => Err(StreamError::Bad("an unknown record")),
        }
    }

    fn argv(&mut self, outside: bool) -> Result<Record<'a>, StreamError> {
        let (db, fields, key, count) = (self.place()?, self.fields()?, self.bytes()?, self.varint()? as usize);
        if !(1..=ARGV_MAX).contains(&count) {
            return Err(StreamError::Bad("a command without arguments, or with too many"));
        }
        let args = (1..=count).map(|nth| self.payload(outside && nth == count)).collect::<Result<_, _>>()?;
        Ok(Record::Argv { db, key, args, fields })
    }

    fn end(&mut self) -> Result<Record<'a>, StreamError> {
        let (records, slots) = (self.varint()?, self.varint()?);
        // No room is made ahead for a number that the bytes may not keep.
        let keys = (0..slots).map(|_| Ok((self.slot()?, self.varint()?))).collect::<Result<_, StreamError>>()?;
        Ok(Record::End(End { records, keys }))
    }

    #[inline]
    fn place(&mut self) -> Result<Db, StreamError> {
        match self.place_and_form()? {
            (db, Form::Bytes) => Ok(db),
            _ => Err(StreamError::Bad("a form where there is no value")),
        }
    }

    #[inline]
    fn place_and_form(&mut self) -> Result<(Db, Form), StreamError> {
        let place = self.byte()?;
        let form = Form::from_number(place >> 4).filter(|form| *form != Form::Segments);
        let db = Db::new(i64::from(place & 0xf)).ok_or(StreamError::Bad("no such database"))?;
        Ok((db, form.ok_or(StreamError::Bad("a value of an unknown form"))?))
    }

    #[inline]
    fn fields(&mut self) -> Result<Fields, StreamError> {
        let [flags, low, middle, high] = self.array()?;
        Ok(Fields {
            clock: u32::from_le_bytes([low, middle, high, 0]),
            expire_at_ms: if flags & HAS_EXPIRY != 0 { Some(u64::from_le_bytes(self.array()?)) } else { None },
            cas: if flags & HAS_CAS != 0 { Some(u64::from_le_bytes(self.array()?)) } else { None },
            mc_flags: if flags & HAS_MC_FLAGS != 0 { u32::from_le_bytes(self.array()?) } else { 0 },
            raw: flags & IS_RAW != 0,
            memcached: flags & IS_MEMCACHED != 0,
        })
    }

    #[inline]
    fn payload(&mut self, outside: bool) -> Result<Payload<'a>, StreamError> {
        if outside { Ok(Payload::Outside(self.varint()?)) } else { Ok(Payload::Here(self.bytes()?)) }
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'a [u8], StreamError> {
        let len = self.varint()?;
        let short = StreamError::Bad("a record that is cut off");
        let (bytes, rest) = usize::try_from(len).ok().and_then(|len| self.0.split_at_checked(len)).ok_or(short)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn slot(&mut self) -> Result<Slot, StreamError> {
        Slot::new(u16::from_le_bytes(self.array()?)).ok_or(StreamError::Bad("no such slot"))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, StreamError> {
        let mut number = 0;
        for at in 0..10 {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(StreamError::Bad("a number of more than 64 bits"))
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, StreamError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], StreamError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(StreamError::Bad("a record that is cut off"))?;
        self.0 = rest;
        Ok(*array)
    }
}
