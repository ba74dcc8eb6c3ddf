//! The payload of FUNCTION DUMP and FUNCTION RESTORE: for each library a mark and its code, then version and checksum,
//! as in RDB files.

use super::library::Index;
use crate::rdb;

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPayload {
    Footer,
    Format,
}

impl BadPayload {
    /// The error's words.
    pub fn words(self) -> &'static str {
        match self {
            BadPayload::Footer => "ERR DUMP payload version or checksum are wrong",
            BadPayload::Format => "ERR failed loading functions from the given payload",
        }
    }
}

/// All libraries as one payload.
pub fn dump(index: &Index) -> Vec<u8> {
    rdb::functions::dump(index.libraries().map(|library| &library.code[..]))
}

/// The same of these codes.
pub fn write(codes: &[Vec<u8>]) -> Vec<u8> {
    rdb::functions::dump(codes.iter().map(|code| &code[..]))
}

/// The code of each library of a payload. The bytes may be anybody's.
///
/// # Errors
/// See [`BadPayload`].
pub fn read(payload: &[u8]) -> Result<Vec<Vec<u8>>, BadPayload> {
    rdb::functions::read(payload).map_err(|bad| match bad {
        rdb::BadPayload::Footer => BadPayload::Footer,
        rdb::BadPayload::Format => BadPayload::Format,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As valkey-server 9.1 has dumped it.
    #[test]
    fn payloads_are_valkeys() {
        let payload = b"\xf59#!lua name=cd\nredis.register_function(\"f\",function() end)\xf57#!lua name=ab\nredis.\
                        register_function(1,function() end)P\x00\xb2\xa9L\xb7Y/\xaf\x8e";
        let codes = read(payload).unwrap();
        assert_eq!(codes.len(), 2);
        assert_eq!(codes[1], b"#!lua name=ab\nredis.register_function(1,function() end)");
        assert_eq!(write(&codes), payload);
        for len in 0..payload.len() {
            assert!(read(&payload[..len]).is_err(), "{len}");
        }
    }
}
