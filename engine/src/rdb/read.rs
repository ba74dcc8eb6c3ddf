//! Reading RDB objects: lengths and strings, from bytes that may be anybody's.

use std::borrow::Cow;

use swell_wire::out::format_i64;

use super::{BadPayload, kinds, lzf};

/// Reads from the front.
pub struct Reader<'a>(&'a [u8]);

/// What a length byte says.
enum Length {
    Of(u64),
    /// A string in another form.
    Encoded(u8),
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that are left: no count of anything can be higher.
    pub fn left(&self) -> usize {
        self.0.len()
    }

    pub fn byte(&mut self) -> Result<u8, BadPayload> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], BadPayload> {
        let (array, rest) = self.0.split_first_chunk().ok_or(BadPayload::Format)?;
        self.0 = rest;
        Ok(*array)
    }

    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], BadPayload> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(BadPayload::Format)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A plain number.
    pub fn length(&mut self) -> Result<u64, BadPayload> {
        match self.length_or_encoding()? {
            Length::Of(len) => Ok(len),
            Length::Encoded(_) => Err(BadPayload::Format),
        }
    }

    /// A number of things that take at least a byte each, and are one at least: an empty value is none.
    pub fn count(&mut self) -> Result<usize, BadPayload> {
        let count = self.length()?;
        if count == 0 || count > self.left() as u64 {
            return Err(BadPayload::Format);
        }
        Ok(count as usize)
    }

    /// A string: as it is, an integer, or packed.
    pub fn string(&mut self) -> Result<Cow<'a, [u8]>, BadPayload> {
        let number = match self.length_or_encoding()? {
            Length::Of(len) => {
                let len = usize::try_from(len).map_err(|_| BadPayload::Format)?;
                return Ok(Cow::Borrowed(self.bytes(len)?));
            }
            Length::Encoded(kinds::INT8) => i64::from(i8::from_le_bytes(self.array()?)),
            Length::Encoded(kinds::INT16) => i64::from(i16::from_le_bytes(self.array()?)),
            Length::Encoded(kinds::INT32) => i64::from(i32::from_le_bytes(self.array()?)),
            Length::Encoded(kinds::LZF) => {
                let (packed, len) = (self.length()?, self.length()?);
                let (packed, len) = (usize::try_from(packed), usize::try_from(len));
                let (Ok(packed), Ok(len)) = (packed, len) else { return Err(BadPayload::Format) };
                return Ok(Cow::Owned(lzf::unpack(self.bytes(packed)?, len)?));
            }
            Length::Encoded(_) => return Err(BadPayload::Format),
        };
        let mut digits = [0; 20];
        Ok(Cow::Owned(format_i64(number, &mut digits).to_vec()))
    }

    fn length_or_encoding(&mut self) -> Result<Length, BadPayload> {
        let first = self.byte()?;
        Ok(match first >> 6 {
            0 => Length::Of(u64::from(first)),
            1 => Length::Of(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?)),
            2 if first == 0x80 => Length::Of(u64::from(u32::from_be_bytes(self.array()?))),
            2 if first == 0x81 => Length::Of(u64::from_be_bytes(self.array()?)),
            3 => Length::Encoded(first),
            _ => return Err(BadPayload::Format),
        })
    }
}
