//! What a decoder refuses, in the words of Redis and memcached, and whether the connection ends with it.

use crate::out::Out;

/// A request that cannot be served. `Display` is the text a log may show; [`Reject::write`] is what the client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// RESP: the count after `*` is no number, or too large.
    #[error("Protocol error: invalid multibulk length")]
    MultibulkLength,
    /// RESP: the length after `$` is no number, negative, or too large.
    #[error("Protocol error: invalid bulk length")]
    BulkLength,
    /// RESP: something else stands where an argument should begin.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0))]
    ExpectedBulk(u8),
    /// RESP: a `*` line of more than 64 KiB.
    #[error("Protocol error: too big mbulk count string")]
    MultibulkLineTooLong,
    /// RESP: a `$` line of more than 64 KiB.
    #[error("Protocol error: too big bulk count string")]
    BulkLineTooLong,
    /// RESP: an inline request of more than 64 KiB.
    #[error("Protocol error: too big inline request")]
    InlineTooLong,
    /// RESP: an inline request whose quotes do not close, or close in the middle of a word.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// RESP: a line or an argument that does not end in CR LF. Valkey's check; Redis skips two bytes unseen.
    #[error("Protocol error: invalid CRLF in request")]
    LineEnd,
    /// RESP: too many arguments from a client that has not authenticated.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// RESP: too long an argument from a client that has not authenticated.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// memcached: an empty line, or a storage command with too few or too many words.
    #[error("ERROR")]
    Syntax,
    /// memcached: a number that is none, a negative length, a key of more than 250 bytes.
    #[error("CLIENT_ERROR bad command line format")]
    BadLineFormat,
    /// memcached: the data block does not end in CR LF where its length says.
    #[error("CLIENT_ERROR bad data chunk")]
    BadDataChunk,
    /// memcached: the item is over the item limit; its data block was skipped.
    #[error("SERVER_ERROR object too large for cache")]
    ObjectTooLarge,
    /// memcached: a line that is too long, or a get of too many keys. The connection closes without a word.
    #[error("command line too long")]
    LineTooLong,
}

impl Reject {
    /// Whether the connection is closed once the reply is sent; nothing after this request is read.
    pub fn closes(&self) -> bool {
        !matches!(self, Reject::Syntax | Reject::BadLineFormat | Reject::BadDataChunk | Reject::ObjectTooLarge)
    }

    /// Writes the reply: an error of RESP, a line of memcached's, or nothing. The caller leaves it out for `noreply`.
    pub fn write(&self, out: &mut Out) {
        match self {
            Reject::LineTooLong => {}
            Reject::Syntax | Reject::BadLineFormat | Reject::BadDataChunk | Reject::ObjectTooLarge => {
                out.raw(self.to_string().as_bytes());
                out.raw(b"\r\n");
            }
            Reject::ExpectedBulk(byte) => {
                // The byte goes out as it came in, even where it is no character.
                out.error_bytes(&[b"ERR Protocol error: expected '$', got '", &[*byte][..], b"'"].concat());
            }
            _ => out.error(&format!("ERR {self}")),
        }
    }
}
