//! Libraries of functions, as RDB files hold them.

use super::{BadPayload, VERSION, checked, crc64, read::Reader, write};

/// Marks a library.
const FUNCTION: u8 = 245;

/// A payload of these libraries.
pub fn dump<'c>(codes: impl Iterator<Item = &'c [u8]>) -> Vec<u8> {
    let mut payload = Vec::new();
    for code in codes {
        payload.push(FUNCTION);
        write::string(code, &mut payload);
    }
    payload.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = crc64::crc64(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

/// The libraries of a payload.
///
/// # Errors
/// See [`BadPayload`].
pub fn read(payload: &[u8]) -> Result<Vec<Vec<u8>>, BadPayload> {
    let mut reader = Reader::new(checked(payload)?);
    let mut codes = Vec::new();
    while !reader.is_empty() {
        if reader.byte()? != FUNCTION {
            return Err(BadPayload::Format);
        }
        codes.push(reader.string()?.into_owned());
    }
    Ok(codes)
}
