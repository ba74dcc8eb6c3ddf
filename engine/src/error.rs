//! Error replies of the engine: their words are here only, in Redis's own.

use std::borrow::Cow;

/// Why a command failed. `Display` is the RESP error line without its `-`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    #[error("ERR value is not a valid float")]
    NotFloat,
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    #[error("ERR increment would produce NaN or Infinity")]
    NanOrInfinity,
    #[error("ERR no such key")]
    NoSuchKey,
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    #[error("ERR offset is out of range")]
    OffsetOutOfRange,
    #[error("ERR index out of range")]
    IndexOutOfRange,
    #[error("ERR DB index is out of range")]
    DbOutOfRange,
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(&'static str),
    #[error("ERR wrong number of arguments for '{0}' command")]
    WrongArity(&'static str),
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    #[error("ERR source and destination objects are the same")]
    SameObject,
    #[error("ERR invalid cursor")]
    InvalidCursor,
    #[error("CROSSSLOT Keys in request don't hash to the same slot")]
    CrossSlot,
    /// Anything said in one place only; begins with its code.
    #[error("{0}")]
    Other(Cow<'static, str>),
    /// Memcached: the reply line as it is, without its line end.
    #[error("{0}")]
    Memcached(&'static str),
}

impl Fault {
    /// An error with these words.
    pub const fn say(text: &'static str) -> Fault {
        Fault::Other(Cow::Borrowed(text))
    }
}
