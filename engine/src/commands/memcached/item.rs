//! What verbs share about an item: when it expires, how it is stored, how it is written to a client.

use swell_wire::limits::{MEMCACHED_FLAGS_BYTES, MEMCACHED_ITEM_OVERHEAD_BYTES};
use swell_wire::memcached::number;
use swell_wire::{Arg, Args, Out};

use super::fault::{BAD_LINE, NOT_A_STRING};
use crate::entry::{Entry, NewValue, Value};
use crate::error::Fault;
use crate::exec::{Exec, McField, Ttl};
use crate::key::Key;
use crate::notify::Class;

/// Exptimes up to this many seconds (30 days) count from now, later ones are unix times.
const RELATIVE_SECONDS_MAX: i64 = 30 * 24 * 60 * 60;

/// What an exptime means at the time of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    Never,
    /// Unix milliseconds, in the future.
    At(u64),
    /// Gone as soon as it is stored.
    Past,
}

/// Flags and exptime of a storage verb's line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    flags: u32,
    expiry: Expiry,
}

impl Expiry {
    /// Reads an exptime; nothing where it is no number. Unix times are taken as 64 bits wide: memcached cuts them to
    /// 32, after which the year 2039 is the past.
    pub(super) fn parse(exptime: &[u8], now_ms: u64) -> Option<Expiry> {
        let seconds = number::signed(exptime)?;
        let at_ms = match seconds {
            0 => return Some(Expiry::Never),
            ..0 => return Some(Expiry::Past),
            1..=RELATIVE_SECONDS_MAX => now_ms + seconds as u64 * 1000,
            _ => seconds.saturating_mul(1000) as u64,
        };
        Some(if at_ms > now_ms { Expiry::At(at_ms) } else { Expiry::Past })
    }

    /// Gives a key that is there this expiry, which is told as PERSIST and EXPIRE tell it.
    pub(super) fn apply(self, cx: &mut Exec<'_>, key: Key<'_>) {
        match self {
            Expiry::Never => {
                let expires = cx.is_told() && cx.peek(key).is_some_and(|entry| entry.expire_at_ms().is_some());
                cx.set_expiry(key, None);
                if expires {
                    cx.notify(Class::GENERIC, "persist", key);
                }
            }
            Expiry::At(at_ms) => {
                cx.set_expiry(key, Some(at_ms));
                cx.notify(Class::GENERIC, "expire", key);
            }
            Expiry::Past => {
                cx.remove_lazily(key);
                cx.notify(Class::EXPIRED, "expired", key);
            }
        }
    }
}

impl Line {
    /// Reads the words after a storage verb's key.
    ///
    /// # Errors
    /// "bad command line format" where one is no number.
    pub(super) fn parse(args: Args<'_>, now_ms: u64) -> Result<Line, Fault> {
        let flags = number::flags(args.slice(2)).ok_or(BAD_LINE)?;
        let expiry = Expiry::parse(args.slice(3), now_ms).ok_or(BAD_LINE)?;
        Ok(Line { flags, expiry })
    }

    /// Stores a data block under a key, over whatever is there; told as SET tells it.
    pub(super) fn store(self, cx: &mut Exec<'_>, key: Key<'_>, data: Arg<'_>) {
        let ttl = match self.expiry {
            Expiry::Never => Ttl::Clear,
            Expiry::At(at_ms) => Ttl::At(at_ms),
            Expiry::Past => {
                if cx.remove_lazily(key) {
                    cx.notify(Class::EXPIRED, "expired", key);
                }
                return;
            }
        };
        let (value, flags) = (NewValue::from(data), McField::Flags(self.flags));
        if !cx.is_told() {
            return cx.put_untold(key, value, ttl, flags);
        }
        cx.put(key, value, ttl, flags);
        cx.notify(Class::STRING, "set", key);
        if ttl != Ttl::Clear {
            cx.notify(Class::GENERIC, "expire", key);
        }
    }
}

/// The data block of a storage verb.
pub(super) fn data(args: Args<'_>) -> Arg<'_> {
    args.get(args.len() - 1)
}

/// What an item with a value of `len` bytes counts against the item limit, in bytes, as in the decoder.
pub(super) fn limited_bytes(key: Key<'_>, flags: u32, len: usize) -> usize {
    let flags_bytes = if flags == 0 { 0 } else { MEMCACHED_FLAGS_BYTES };
    key.bytes.len() + len + MEMCACHED_ITEM_OVERHEAD_BYTES + flags_bytes
}

/// An item's bytes.
///
/// # Errors
/// Where the key holds no string.
pub(super) fn string<'a>(entry: &Entry<'a>) -> Result<Value<'a>, Fault> {
    entry.string().map_err(|_| NOT_A_STRING)
}

/// Looks a key up and writes its VALUE block, with its unique if asked for. Says whether it is there.
///
/// # Errors
/// Where the key holds no string; nothing is written then.
pub(super) fn write(cx: &mut Exec<'_>, key: Key<'_>, with_unique: bool, out: &mut Out) -> Result<bool, Fault> {
    let Some(entry) = cx.read(key) else { return Ok(false) };
    let value = string(&entry)?;
    if !with_unique {
        write_block(key, entry.mc_flags(), None, value, out);
        return Ok(true);
    }
    let unique = cx.ensure_cas(key);
    // The entry may have moved: it has been given a field.
    let Some(entry) = cx.peek(key) else { return Ok(false) };
    write_block(key, entry.mc_flags(), Some(unique), string(&entry)?, out);
    Ok(true)
}

fn write_block(key: Key<'_>, flags: u32, unique: Option<u64>, value: Value<'_>, out: &mut Out) {
    out.raw(b"VALUE ");
    out.raw(key.bytes);
    out.raw(b" ");
    out.decimal_u64(u64::from(flags));
    out.raw(b" ");
    out.decimal_u64(value.len() as u64);
    if let Some(unique) = unique {
        out.raw(b" ");
        out.decimal_u64(unique);
    }
    out.raw(b"\r\n");
    match value {
        Value::Slice(bytes) => out.raw_data(bytes),
        Value::Segments(segments) => out.raw_segments(segments, 0, segments.len()),
    }
    out.raw(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::Expiry;

    #[test]
    fn exptimes_are_relative_up_to_thirty_days() {
        let now_ms = 1_800_000_000_500;
        for (exptime, expected) in [
            ("0", Some(Expiry::Never)),
            ("-0", Some(Expiry::Never)),
            ("-1", Some(Expiry::Past)),
            ("-99999999999", Some(Expiry::Past)),
            ("1", Some(Expiry::At(now_ms + 1000))),
            ("2592000", Some(Expiry::At(now_ms + 2_592_000_000))),
            ("2592001", Some(Expiry::Past)),
            ("1800000000", Some(Expiry::Past)),
            ("1800000001", Some(Expiry::At(1_800_000_001_000))),
            ("4102444800", Some(Expiry::At(4_102_444_800_000))),
            ("9223372036854775807", Some(Expiry::At(i64::MAX as u64))),
            ("9223372036854775808", None),
            ("1x", None),
        ] {
            assert_eq!(Expiry::parse(exptime.as_bytes(), now_ms), expected, "{exptime}");
        }
    }
}
