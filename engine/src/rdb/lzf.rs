//! LZF, the compression of strings in DUMP payloads and RDB files: reading only. Swell writes strings as they are.
//!
//! A byte below 32 is followed by one more than that many bytes as they are. Any other begins a reference: its upper
//! three bits say how long (7: the next byte says how much more), its lower five and the byte after that how far back.

use super::BadPayload;

/// A reference repeats two bytes more than it says.
const REFERENCE_BYTES_MIN: usize = 2;
const LONG: usize = 7;

/// Unpacks into exactly `len` bytes.
///
/// # Errors
/// The bytes are no packed string of that length.
pub fn unpack(packed: &[u8], len: usize) -> Result<Vec<u8>, BadPayload> {
    // A packed byte makes at most 264 / 3 bytes: room is not made for what cannot come.
    if len > packed.len().saturating_mul(264) {
        return Err(BadPayload::Format);
    }
    let mut bytes = Vec::with_capacity(len);
    let mut rest = packed;
    while let Some((&control, after)) = rest.split_first() {
        rest = after;
        let control = usize::from(control);
        if control < 32 {
            let (literal, after) = rest.split_at_checked(control + 1).ok_or(BadPayload::Format)?;
            bytes.extend_from_slice(literal);
            rest = after;
        } else {
            let mut count = control >> 5;
            if count == LONG {
                count += usize::from(take(&mut rest)?);
            }
            let back = ((control & 31) << 8 | usize::from(take(&mut rest)?)) + 1;
            let from = bytes.len().checked_sub(back).ok_or(BadPayload::Format)?;
            if bytes.len() + count + REFERENCE_BYTES_MIN > len {
                return Err(BadPayload::Format);
            }
            // It may reach into what it writes itself.
            for at in from..from + count + REFERENCE_BYTES_MIN {
                bytes.push(bytes[at]);
            }
        }
        if bytes.len() > len {
            return Err(BadPayload::Format);
        }
    }
    if bytes.len() == len { Ok(bytes) } else { Err(BadPayload::Format) }
}

fn take(rest: &mut &[u8]) -> Result<u8, BadPayload> {
    let (&byte, after) = rest.split_first().ok_or(BadPayload::Format)?;
    *rest = after;
    Ok(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_references() {
        assert_eq!(unpack(&[2, b'a', b'b', b'c'], 3).unwrap(), b"abc");
        // "a", then 9 + 2 bytes from one back.
        assert_eq!(unpack(&[0, b'a', 0xe0, 2, 0], 12).unwrap(), [b'a'; 12]);
        for (packed, len) in
            [(&[2, b'a'][..], 3), (&[0x20, 0], 3), (&[0, b'a'], 2), (&[0, b'a', 0x20, 9], 4), (&[0, b'a'], 0)]
        {
            assert!(unpack(packed, len).is_err(), "{packed:?}");
        }
    }
}
