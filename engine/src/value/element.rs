//! One element of a packed run: an integer or a string, encoded as Valkey's listpack encodes it. A listpack, a list's
//! chunk and a stream's node are runs of these.
//!
//! ```text
//! 0xxxxxxx                        integer 0..=127
//! 10xxxxxx  bytes                 string of up to 63 bytes
//! 110xxxxx  1 byte                integer of 13 bits, two's complement, high bits first
//! 1110xxxx  1 byte, bytes         string of up to 4095 bytes, high bits of the length first
//! 11110000  4 bytes, bytes        longer string, length little-endian
//! 11110001  2 bytes | 11110010  3 | 11110011  4 | 11110100  8       integers, little-endian
//! ```
//!
//! Then the length of all that once more, in 1 to 5 bytes of 7 bits that are read backwards: every byte but the first
//! has its high bit set.

use swell_wire::Out;
use swell_wire::out::format_i64;

use crate::number::parse_i64;

/// Most bytes that a decimal form has.
pub const DIGITS_MAX: usize = 20;

/// Most bytes that an element's encoding adds to its string.
pub const OVERHEAD_BYTES_MAX: usize = HEAD_BYTES_MAX + 5;

/// A string has a head of up to 5 bytes, an integer is a head only.
const HEAD_BYTES_MAX: usize = 9;

/// Strings below this length have a head of 1 byte, below the next one of 2.
const STRING_6_BITS: usize = 1 << 6;
const STRING_12_BITS: usize = 1 << 12;

/// One element, read in place. What is the canonical decimal form of a 64-bit integer is kept as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element<'a> {
    Int(i64),
    Str(&'a [u8]),
}

impl<'a> From<&'a [u8]> for Element<'a> {
    #[inline]
    fn from(bytes: &'a [u8]) -> Self {
        // Most strings are told from an integer by their first byte or their length.
        match bytes {
            [b'0'..=b'9' | b'-', ..] if bytes.len() <= DIGITS_MAX => {
                parse_i64(bytes).map_or(Element::Str(bytes), Element::Int)
            }
            _ => Element::Str(bytes),
        }
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Element<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Element::from(&bytes[..])
    }
}

impl<'a> From<&'a Vec<u8>> for Element<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Element::from(&bytes[..])
    }
}

impl From<i64> for Element<'_> {
    fn from(number: i64) -> Self {
        Element::Int(number)
    }
}

impl<'a> Element<'a> {
    /// Its bytes; an integer's digits are written into `digits`.
    #[inline]
    pub fn bytes<'s>(&self, digits: &'s mut [u8; DIGITS_MAX]) -> &'s [u8]
    where
        'a: 's,
    {
        match *self {
            Element::Int(number) => format_i64(number, digits),
            Element::Str(bytes) => bytes,
        }
    }

    /// Its bytes, owned.
    pub fn to_vec(&self) -> Vec<u8> {
        self.bytes(&mut [0; DIGITS_MAX]).to_vec()
    }

    /// Its length as a string.
    #[inline]
    pub fn len(&self) -> usize {
        match *self {
            Element::Int(number) => {
                let digits = number.unsigned_abs().checked_ilog10().map_or(1, |power| power as usize + 1);
                digits + usize::from(number < 0)
            }
            Element::Str(bytes) => bytes.len(),
        }
    }

    /// Whether it is the empty string.
    pub fn is_empty(&self) -> bool {
        matches!(self, Element::Str(b""))
    }

    /// Whether its bytes are those of `wanted`, which was made from bytes (so an integer is one in both).
    #[inline]
    pub fn is(&self, wanted: &Needle<'_>) -> bool {
        match *self {
            Element::Int(number) => wanted.number == Some(number),
            Element::Str(bytes) => bytes == wanted.bytes,
        }
    }

    /// Answers it as a bulk string.
    #[inline]
    pub fn write(&self, out: &mut Out) {
        match *self {
            Element::Int(number) => out.bulk_int(number),
            Element::Str(bytes) => out.bulk(bytes),
        }
    }

    /// Bytes that it takes in a run.
    #[inline]
    pub fn encoded_bytes(&self) -> usize {
        let inner = match *self {
            Element::Int(number) => int_bytes(number),
            Element::Str(bytes) => string_head_bytes(bytes.len()) + bytes.len(),
        };
        inner + backlen_bytes(inner)
    }

    /// Writes it at the beginning of `to`, which has exactly [`Element::encoded_bytes`].
    #[inline]
    pub fn encode(&self, to: &mut [u8]) {
        let inner = match *self {
            Element::Int(number) => encode_int(number, to),
            Element::Str(bytes) => {
                let head = encode_string_head(bytes.len(), to);
                to[head..head + bytes.len()].copy_from_slice(bytes);
                head + bytes.len()
            }
        };
        encode_backlen(inner, &mut to[inner..]);
    }

    /// Appends it to a run.
    #[inline]
    pub fn push_to(&self, run: &mut Vec<u8>) {
        let at = run.len();
        run.resize(at + self.encoded_bytes(), 0);
        self.encode(&mut run[at..]);
    }
}

/// Bytes to be looked for: their integer form is found out once, not for each element.
#[derive(Clone, Copy, Debug)]
pub struct Needle<'a> {
    bytes: &'a [u8],
    number: Option<i64>,
}

impl<'a> Needle<'a> {
    /// Looks for these bytes.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        let number = match Element::from(bytes) {
            Element::Int(number) => Some(number),
            Element::Str(_) => None,
        };
        Needle { bytes, number }
    }

    /// The bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// The element at the beginning of `run`, and how many bytes it takes. Nothing where there is none, or none that is
/// whole; the repeated length at its end is not looked at.
#[inline]
pub fn decode(run: &[u8]) -> Option<(Element<'_>, usize)> {
    let (element, inner) = decode_inner(run)?;
    let total = inner + backlen_bytes(inner);
    (total <= run.len()).then_some((element, total))
}

/// As [`decode`], for bytes from elsewhere: the repeated length must be right as well.
pub fn decode_checked(run: &[u8]) -> Option<(Element<'_>, usize)> {
    let (element, inner) = decode_inner(run)?;
    let (mut expected, len) = ([0; 5], backlen_bytes(inner));
    encode_backlen(inner, &mut expected[..len]);
    (run.get(inner..inner + len)? == &expected[..len]).then_some((element, inner + len))
}

/// Bytes that the element at the beginning of `run` takes; nothing where there is none. Cheaper than decoding it.
#[inline]
pub fn skip(run: &[u8]) -> Option<usize> {
    let inner = match *run.first()? {
        0..=0x7f => 1,
        head @ 0x80..=0xbf => 1 + usize::from(head & 0x3f),
        0xc0..=0xdf => 2,
        head @ 0xe0..=0xef => 2 + (usize::from(head & 0xf) << 8 | usize::from(*run.get(1)?)),
        0xf0 => (u32::from_le_bytes(*run.get(1..)?.first_chunk()?) as usize).checked_add(5)?,
        0xf1 => 3,
        0xf2 => 4,
        0xf3 => 5,
        0xf4 => 9,
        _ => return None,
    };
    let total = inner + backlen_bytes(inner);
    (total <= run.len()).then_some(total)
}

/// Bytes that the last element of `run` takes; nothing where there is none.
#[inline]
pub fn skip_back(run: &[u8]) -> Option<usize> {
    let mut inner = 0usize;
    for (place, &byte) in run.iter().rev().take(5).enumerate() {
        inner |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let total = inner + place + 1;
            return (inner > 0 && total <= run.len()).then_some(total);
        }
    }
    None
}

/// An element and the bytes of its encoding without the repeated length.
#[inline]
fn decode_inner(run: &[u8]) -> Option<(Element<'_>, usize)> {
    let (&head, rest) = run.split_first()?;
    Some(match head {
        0..=0x7f => (Element::Int(i64::from(head)), 1),
        0x80..=0xbf => {
            let len = usize::from(head & 0x3f);
            (Element::Str(rest.get(..len)?), 1 + len)
        }
        0xc0..=0xdf => {
            let bits = u16::from(head & 0x1f) << 8 | u16::from(*rest.first()?);
            // The sign is bit 12: moved to the top and back it fills what is above it.
            (Element::Int(i64::from((bits << 3) as i16 >> 3)), 2)
        }
        0xe0..=0xef => {
            let len = usize::from(head & 0xf) << 8 | usize::from(*rest.first()?);
            (Element::Str(rest.get(1..1 + len)?), 2 + len)
        }
        0xf0 => {
            let len = u32::from_le_bytes(*rest.first_chunk()?) as usize;
            (Element::Str(rest.get(4..len.checked_add(4)?)?), 5 + len)
        }
        0xf1 => (Element::Int(i64::from(i16::from_le_bytes(*rest.first_chunk()?))), 3),
        0xf2 => {
            let [low, middle, high] = *rest.first_chunk()?;
            (Element::Int(i64::from(i32::from_le_bytes([0, low, middle, high]) >> 8)), 4)
        }
        0xf3 => (Element::Int(i64::from(i32::from_le_bytes(*rest.first_chunk()?))), 5),
        0xf4 => (Element::Int(i64::from_le_bytes(*rest.first_chunk()?)), 9),
        _ => return None,
    })
}

/// Bytes of an integer's encoding.
#[inline]
fn int_bytes(number: i64) -> usize {
    match number {
        0..=127 => 1,
        -4096..=4095 => 2,
        -0x8000..=0x7fff => 3,
        -0x80_0000..=0x7f_ffff => 4,
        -0x8000_0000..=0x7fff_ffff => 5,
        _ => 9,
    }
}

#[inline]
fn encode_int(number: i64, to: &mut [u8]) -> usize {
    let len = int_bytes(number);
    let bytes = number.to_le_bytes();
    match len {
        1 => to[0] = bytes[0],
        2 => {
            to[0] = 0xc0 | bytes[1] & 0x1f;
            to[1] = bytes[0];
        }
        _ => {
            to[0] = match len {
                3 => 0xf1,
                4 => 0xf2,
                5 => 0xf3,
                _ => 0xf4,
            };
            to[1..len].copy_from_slice(&bytes[..len - 1]);
        }
    }
    len
}

#[inline]
fn string_head_bytes(len: usize) -> usize {
    match len {
        0..STRING_6_BITS => 1,
        STRING_6_BITS..STRING_12_BITS => 2,
        _ => 5,
    }
}

#[inline]
fn encode_string_head(len: usize, to: &mut [u8]) -> usize {
    match len {
        0..STRING_6_BITS => to[0] = 0x80 | len as u8,
        STRING_6_BITS..STRING_12_BITS => {
            to[0] = 0xe0 | (len >> 8) as u8;
            to[1] = len as u8;
        }
        _ => {
            to[0] = 0xf0;
            to[1..5].copy_from_slice(&(len as u32).to_le_bytes());
        }
    }
    string_head_bytes(len)
}

/// Bytes of the repeated length: the fewest that hold it, as in Valkey. (Redis 7 takes one more at each limit.)
#[inline]
fn backlen_bytes(inner: usize) -> usize {
    match inner {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        2_097_152..=268_435_455 => 4,
        _ => 5,
    }
}

#[inline]
fn encode_backlen(inner: usize, to: &mut [u8]) {
    let len = backlen_bytes(inner);
    for (place, byte) in to[..len].iter_mut().rev().enumerate() {
        *byte = (inner >> (7 * place)) as u8 & 0x7f | 0x80;
    }
    to[0] &= 0x7f;
}
