//! What the commands on bits have in common: offsets, ranges, bytes of strings in pieces.

use swell_wire::Args;

use crate::commands::options::is_word;
use crate::entry::{NewValue, Value};
use crate::error::Fault;
use crate::exec::{Exec, McField, Ttl};
use crate::key::Key;
use crate::number::parse_i64;
use swell_wire::{Arg, SEGMENT_BYTES};

/// Reading this many bytes counts as one element.
pub(super) const WORK_BYTES: usize = 1024;

/// A range of a string as it was asked for, in bytes or in bits. Negative numbers count from the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranges {
    start: i64,
    end: Option<i64>,
    in_bits: bool,
}

impl Ranges {
    /// Reads `[start [end [BYTE | BIT]]]` from argument `from` to the end. Without any it is the whole string.
    ///
    /// # Errors
    /// Syntax; numbers that are none. The unit is read before the end.
    pub fn parse(args: Args<'_>, from: usize) -> Result<Ranges, Fault> {
        let Some(start) = args.opt(from) else { return Ok(Ranges { start: 0, end: None, in_bits: false }) };
        if args.len() > from + 3 {
            return Err(Fault::Syntax);
        }
        let start = parse_i64(start).ok_or(Fault::NotInteger)?;
        let in_bits = match args.opt(from + 2) {
            None => false,
            Some(unit) if is_word(unit, "BIT") => true,
            Some(unit) if is_word(unit, "BYTE") => false,
            Some(_) => return Err(Fault::Syntax),
        };
        let end = args.opt(from + 1).map(|end| parse_i64(end).ok_or(Fault::NotInteger)).transpose()?;
        Ok(Ranges { start, end, in_bits })
    }

    /// Whether an end was given.
    pub fn has_end(&self) -> bool {
        self.end.is_some()
    }

    /// Whether both ends count from the end of the string and are the wrong way round.
    pub fn is_backwards(&self) -> bool {
        self.start < 0 && self.end.is_some_and(|end| end < 0 && self.start > end)
    }

    /// The first and the last bit of it in a string of `len` bytes; nothing where it is empty.
    pub fn bits(&self, len: usize) -> Option<(u64, u64)> {
        let per_unit = if self.in_bits { 1 } else { 8 };
        let units = if self.in_bits { len as i64 * 8 } else { len as i64 };
        let from_begin = |at: i64| if at < 0 { at.saturating_add(units).max(0) } else { at };
        let start = from_begin(self.start);
        let end = self.end.map_or(units - 1, from_begin).min(units - 1);
        (start <= end).then(|| (start as u64 * per_unit, end as u64 * per_unit + per_unit - 1))
    }
}

/// Reads a bit's offset; with `bits`, `#n` is the n-th integer of so many bits.
///
/// # Errors
/// It is no offset within the longest string that there may be.
pub(super) fn offset(cx: &Exec<'_>, arg: &[u8], bits: Option<u32>) -> Result<u64, Fault> {
    const BAD_OFFSET: Fault = Fault::say("ERR bit offset is not an integer or out of range");
    let (digits, unit) = match (arg, bits) {
        ([b'#', digits @ ..], Some(bits)) => (digits, i64::from(bits)),
        _ => (arg, 1),
    };
    let offset = parse_i64(digits).and_then(|number| number.checked_mul(unit)).ok_or(BAD_OFFSET)?;
    let offset = u64::try_from(offset).map_err(|_| BAD_OFFSET)?;
    let fits = offset / 8 < cx.engine.settings().string_bytes_max() as u64;
    if fits { Ok(offset) } else { Err(BAD_OFFSET) }
}

/// The bit of its byte that an offset means.
pub(super) fn bit_of(offset: u64) -> u8 {
    0x80 >> (offset % 8)
}

/// A byte of a string, zero behind its end.
pub(super) fn byte_at(value: Value<'_>, at: usize) -> u8 {
    match value {
        Value::Slice(bytes) => bytes.get(at).copied().unwrap_or(0),
        Value::Segments(segments) => {
            segments.range(at, at + 1).next().and_then(|piece| piece.first()).copied().unwrap_or(0)
        }
    }
}

/// The bytes from `from` up to `to`, as far as there are, in pieces.
pub(super) fn pieces<'a>(value: Value<'a>, from: usize, to: usize) -> impl Iterator<Item = &'a [u8]> {
    let (slice, segments) = match value {
        Value::Slice(bytes) => {
            (Some(&bytes[from.min(bytes.len())..to.min(bytes.len()).max(from.min(bytes.len()))]), None)
        }
        Value::Segments(segments) => (None, Some(segments.range(from, to))),
    };
    slice.into_iter().chain(segments.into_iter().flatten())
}

/// How many bits are set.
pub(super) fn count_ones(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(8);
    let rest: u64 = words.remainder().iter().map(|byte| u64::from(byte.count_ones())).sum();
    let word = |word: &[u8]| u64::from_ne_bytes(word.try_into().unwrap_or_default());
    words.map(|bytes| u64::from(word(bytes).count_ones())).sum::<u64>() + rest
}

/// Makes a string at least `needed` bytes long, with zeroes; `len` is its length, if it is there.
pub(super) fn grow(cx: &mut Exec<'_>, key: Key<'_>, len: Option<usize>, needed: usize) {
    match len {
        Some(len) if len >= needed => {}
        None if needed <= SEGMENT_BYTES => {
            cx.put_raw(key, NewValue::Bytes(&vec![0; needed]), Ttl::Clear, McField::Clear);
        }
        None => {
            cx.put_raw(key, NewValue::Bytes(b""), Ttl::Clear, McField::Clear);
            cx.write_range(key, needed - 1, Arg::Slice(&[0]));
        }
        Some(_) => {
            cx.write_range(key, needed - 1, Arg::Slice(&[0]));
        }
    }
}
