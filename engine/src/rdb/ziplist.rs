//! Ziplists and zipmaps, in which Redis before 7 (before 2.6) kept small lists, sorted sets and hashes: reading only.

use std::borrow::Cow;

use swell_wire::out::format_i64;

use super::BadPayload;

const END: u8 = 0xff;
/// The length of the entry before takes five bytes from here on.
const LONG_PREVIOUS: u8 = 0xfe;
/// A ziplist with so many entries may have more.
const UNCOUNTED: u16 = u16::MAX;
/// Begins with the number of pairs, this if there are more; ends like a ziplist. The same begins a long length.
const ZIPMAP_LONG: u8 = 0xfe;

/// All entries of a ziplist, from the first.
///
/// # Errors
/// The bytes are no ziplist.
pub fn ziplist(bytes: &[u8]) -> Result<Vec<Cow<'_, [u8]>>, BadPayload> {
    let mut rest = bytes;
    let (total, last_at) = (u32::from_le_bytes(take(&mut rest)?), u32::from_le_bytes(take(&mut rest)?));
    let count = u16::from_le_bytes(take(&mut rest)?);
    let mut entries = Vec::new();
    let mut previous = 0;
    while *rest.first().ok_or(BadPayload::Format)? != END {
        let before = rest.len();
        if previous_len(&mut rest)? != previous {
            return Err(BadPayload::Format);
        }
        entries.push(entry(&mut rest)?);
        previous = before - rest.len();
    }
    let is_last = last_at as usize == bytes.len() - 1 - previous;
    let is_whole = rest.len() == 1 && total as usize == bytes.len() && (is_last || entries.is_empty());
    if is_whole && is_count(entries.len(), count, UNCOUNTED) { Ok(entries) } else { Err(BadPayload::Format) }
}

/// Fields and values in turn of a zipmap.
///
/// # Errors
/// The bytes are no zipmap.
pub fn zipmap(bytes: &[u8]) -> Result<Vec<&[u8]>, BadPayload> {
    let (&count, mut rest) = bytes.split_first().ok_or(BadPayload::Format)?;
    let mut parts = Vec::new();
    loop {
        let first = *rest.first().ok_or(BadPayload::Format)?;
        if first == END {
            let is_counted = is_count(parts.len() / 2, count.into(), ZIPMAP_LONG.into());
            let is_whole = rest.len() == 1 && parts.len() % 2 == 0 && is_counted;
            return if is_whole { Ok(parts) } else { Err(BadPayload::Format) };
        }
        let is_value = parts.len() % 2 == 1;
        let len = match take::<1>(&mut rest)? {
            [ZIPMAP_LONG] => u32::from_le_bytes(take(&mut rest)?) as usize,
            [len] => usize::from(len),
        };
        // Behind a value's length stands how many unused bytes follow it.
        let free = if is_value { usize::from(take::<1>(&mut rest)?[0]) } else { 0 };
        parts.push(slice(&mut rest, len)?);
        slice(&mut rest, free)?;
    }
}

/// Whether as many were found as a header says, if it knows.
fn is_count(found: usize, said: u16, unknown: u16) -> bool {
    said == unknown || usize::from(said) == found
}

fn previous_len(rest: &mut &[u8]) -> Result<usize, BadPayload> {
    match take::<1>(rest)? {
        [LONG_PREVIOUS] => Ok(u32::from_le_bytes(take(rest)?) as usize),
        [len] => Ok(usize::from(len)),
    }
}

fn entry<'a>(rest: &mut &'a [u8]) -> Result<Cow<'a, [u8]>, BadPayload> {
    let [first] = take(rest)?;
    let number = match first {
        0x00..0x40 => return slice(rest, usize::from(first)).map(Cow::Borrowed),
        0x40..0x80 => {
            let [low] = take(rest)?;
            return slice(rest, usize::from(first & 0x3f) << 8 | usize::from(low)).map(Cow::Borrowed);
        }
        0x80 => {
            let len = u32::from_be_bytes(take(rest)?) as usize;
            return slice(rest, len).map(Cow::Borrowed);
        }
        0xc0 => i64::from(i16::from_le_bytes(take(rest)?)),
        0xd0 => i64::from(i32::from_le_bytes(take(rest)?)),
        0xe0 => i64::from_le_bytes(take(rest)?),
        0xf0 => {
            let [low, middle, high] = take(rest)?;
            i64::from(i32::from_le_bytes([0, low, middle, high]) >> 8)
        }
        0xfe => i64::from(i8::from_le_bytes(take(rest)?)),
        // The number itself, plus one.
        0xf1..=0xfd => i64::from(first & 0xf) - 1,
        _ => return Err(BadPayload::Format),
    };
    let mut digits = [0; 20];
    Ok(Cow::Owned(format_i64(number, &mut digits).to_vec()))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BadPayload> {
    let (array, after) = rest.split_first_chunk().ok_or(BadPayload::Format)?;
    *rest = after;
    Ok(*array)
}

fn slice<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], BadPayload> {
    let (bytes, after) = rest.split_at_checked(len).ok_or(BadPayload::Format)?;
    *rest = after;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "a", 5, -2, 300, as Redis 6 lays them out behind total length, offset of the last entry and number of entries.
    const FOUR: [u8; 23] =
        [23, 0, 0, 0, 18, 0, 0, 0, 4, 0, 0, 1, b'a', 3, 0xf6, 2, 0xfe, 0xfe, 3, 0xc0, 0x2c, 0x01, END];

    #[test]
    fn entries_of_every_form() {
        let bytes = FOUR;
        let read: Vec<Vec<u8>> = ziplist(&bytes).unwrap().into_iter().map(Cow::into_owned).collect();
        assert_eq!(read, [&b"a"[..], b"5", b"-2", b"300"]);
        for len in 0..bytes.len() {
            let mut cut = bytes[..len].to_vec();
            if let Some(first) = cut.first_mut() {
                *first = len as u8;
            }
            assert!(ziplist(&cut).is_err(), "{len}");
        }
    }

    #[test]
    fn a_ziplist_has_what_its_header_says() {
        for at in 0..10 {
            let mut wrong = FOUR;
            wrong[at] ^= 1;
            assert!(ziplist(&wrong).is_err(), "byte {at}");
        }
        let mut uncounted = FOUR;
        uncounted[8..10].fill(0xff);
        assert_eq!(ziplist(&uncounted).unwrap().len(), 4);
    }

    #[test]
    fn fields_and_values_of_a_zipmap() {
        let mut bytes = [1, 1, b'f', 2, 3, b'v', b'w', 0, 0, 0, END];
        assert_eq!(zipmap(&bytes).unwrap(), [&b"f"[..], b"vw"]);
        bytes[0] = ZIPMAP_LONG;
        assert_eq!(zipmap(&bytes).unwrap().len(), 2);
        bytes[0] = 2;
        assert!(zipmap(&bytes).is_err(), "one of two is there");
        assert!((0..bytes.len()).all(|len| zipmap(&bytes[..len]).is_err()));
    }
}
