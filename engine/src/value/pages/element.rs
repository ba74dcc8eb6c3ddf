//! One element as it lies in a page: a byte with form and key length, the other lengths, expiry, key, value.

use crate::value::Malformed;

/// Key and value together up to this many bytes lie in the page, longer elements outside of it.
pub(super) const INLINE_BYTES_MAX: usize = 1024;

const KEY_ONLY: u8 = 0;
const KEY_VALUE: u8 = 1;
const KEY_VALUE_EXPIRY: u8 = 2;
const OUTSIDE: u8 = 3;

/// Lengths from here on take a second byte: 1023 more fit.
const SHORT_KEY: usize = 60;
const SHORT_VALUE: usize = 252;
const OUTSIDE_BYTES: usize = 5;

/// What a slot of a page names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Inline {
        key: &'a [u8],
        value: &'a [u8],
        /// Unix milliseconds.
        expire_at_ms: Option<u64>,
    },
    /// The place in the map's list of long elements.
    Outside(u32),
}

impl<'a> Item<'a> {
    /// Bytes that [`Item::write`] writes.
    #[inline]
    pub(super) fn size(&self) -> usize {
        let Item::Inline { key, value, expire_at_ms } = self else { return OUTSIDE_BYTES };
        let lengths = 1 + usize::from(key.len() >= SHORT_KEY);
        let value_length = match (value.len(), expire_at_ms) {
            (0, None) => 0,
            (len, _) => 1 + usize::from(len >= SHORT_VALUE),
        };
        lengths + value_length + usize::from(expire_at_ms.is_some()) * 8 + key.len() + value.len()
    }

    /// Writes it to the beginning of `to`, which has room.
    #[inline]
    pub(super) fn write(&self, to: &mut [u8]) {
        match *self {
            Item::Inline { key, value, expire_at_ms } => write_inline(to, key, value, expire_at_ms),
            Item::Outside(place) => {
                to[0] = OUTSIDE;
                to[1..OUTSIDE_BYTES].copy_from_slice(&place.to_le_bytes());
            }
        }
    }

    /// Reads the element that `bytes` begin with.
    #[inline]
    pub(super) fn read(bytes: &'a [u8]) -> Item<'a> {
        let (form, key_short) = (bytes[0] & 3, usize::from(bytes[0] >> 2));
        if form == OUTSIDE {
            return Item::Outside(u32_at(bytes, 1));
        }
        let (key_len, mut at) = length(bytes, 1, key_short, SHORT_KEY);
        let mut value_len = 0;
        if form != KEY_ONLY {
            (value_len, at) = length(bytes, at + 1, usize::from(bytes[at]), SHORT_VALUE);
        }
        let mut expire_at_ms = None;
        if form == KEY_VALUE_EXPIRY {
            expire_at_ms = Some(u64_at(bytes, at));
            at += 8;
        }
        let (key, rest) = bytes[at..].split_at(key_len);
        Item::Inline { key, value: &rest[..value_len], expire_at_ms }
    }
}

/// Four bytes as a number.
#[inline]
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |four| u32::from_le_bytes(*four))
}

/// Takes `count` bytes from the front of bytes that came from elsewhere.
pub(super) fn take<'a>(from: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = from.split_at_checked(count).ok_or(Malformed)?;
    *from = rest;
    Ok(taken)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// The length whose first byte holds `first`, and where the next thing is.
#[inline]
fn length(bytes: &[u8], at: usize, first: usize, short: usize) -> (usize, usize) {
    if first < short { (first, at) } else { (short + (first - short) * 256 + usize::from(bytes[at]), at + 1) }
}

#[inline]
fn write_inline(to: &mut [u8], key: &[u8], value: &[u8], expire_at_ms: Option<u64>) {
    let form = match (value, expire_at_ms) {
        (_, Some(_)) => KEY_VALUE_EXPIRY,
        ([], None) => KEY_ONLY,
        _ => KEY_VALUE,
    };
    let mut at = write_length(to, 0, key.len(), SHORT_KEY);
    to[0] = to[0] << 2 | form;
    if form != KEY_ONLY {
        at = write_length(to, at, value.len(), SHORT_VALUE);
    }
    if let Some(expire_at_ms) = expire_at_ms {
        to[at..at + 8].copy_from_slice(&expire_at_ms.to_le_bytes());
        at += 8;
    }
    to[at..at + key.len()].copy_from_slice(key);
    at += key.len();
    to[at..at + value.len()].copy_from_slice(value);
}

#[inline]
fn write_length(to: &mut [u8], at: usize, len: usize, short: usize) -> usize {
    if len < short {
        to[at] = len as u8;
        return at + 1;
    }
    to[at] = (short + (len - short) / 256) as u8;
    to[at + 1] = ((len - short) % 256) as u8;
    at + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_reads_back() {
        let bytes = [7; INLINE_BYTES_MAX];
        let lengths = [0, 1, 59, 60, 61, 251, 252, 253, 315, 316, 507, 508, 800, 1024];
        for key_len in lengths {
            for value_len in lengths.into_iter().filter(|len| key_len + len <= INLINE_BYTES_MAX) {
                for expire_at_ms in [None, Some(u64::MAX), Some(1)] {
                    let item = Item::Inline { key: &bytes[..key_len], value: &bytes[..value_len], expire_at_ms };
                    let mut place = vec![0xaa; item.size() + 3];
                    item.write(&mut place);
                    assert_eq!(Item::read(&place), item);
                    assert!(place.ends_with(&[0xaa; 3]), "nothing is written behind {key_len} {value_len}");
                }
            }
        }
        let mut place = [0; OUTSIDE_BYTES];
        Item::Outside(0x1234_5678).write(&mut place);
        assert_eq!(Item::read(&place), Item::Outside(0x1234_5678));
    }
}
