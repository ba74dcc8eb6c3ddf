//! Every limit of the two protocols, by name. Values are Redis's and memcached's own unless a line says otherwise.

/// Longest bulk string of a request, in bytes (`proto-max-bulk-len`).
pub const BULK_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Most arguments of one request (Redis: 1024 * 1024).
pub const ARGS_MAX: usize = 1_048_576;
/// Most arguments, and longest argument, before the client has authenticated (Redis: 10 and 16,384).
pub const UNAUTHENTICATED_ARGS_MAX: usize = 10;
/// Longest bulk string before the client has authenticated, in bytes.
pub const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16_384;
/// Longest inline request, and longest `*` or `$` line, in bytes (Redis: `PROTO_INLINE_MAX_SIZE`).
pub const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Longest memcached key, in bytes.
pub const MEMCACHED_KEY_BYTES_MAX: usize = 250;
/// Longest memcached command line, in bytes (memcached closes a connection whose line is longer than this and is no get).
pub const MEMCACHED_LINE_BYTES_MAX: usize = 2048;
/// Longest memcached get, gets, gat or gats line, in bytes. memcached has no limit for the first two: clients put all
/// keys of a multi-get into one line.
pub const MEMCACHED_GET_LINE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Default memcached item limit, in bytes (`-I`).
pub const MEMCACHED_ITEM_BYTES_MAX: usize = 1024 * 1024;
/// What memcached adds to key and value when it compares an item with the item limit, in bytes: header and cas (56),
/// the key's terminator, the value's line end.
pub const MEMCACHED_ITEM_OVERHEAD_BYTES: usize = 56 + 1 + 2;
/// What memcached adds to that for an item whose flags are not zero, in bytes.
pub const MEMCACHED_FLAGS_BYTES: usize = 4;
/// Largest data length that memcached reads as a number at all.
pub const MEMCACHED_DATA_BYTES_MAX: usize = i32::MAX as usize - 2;
/// Most requests that one call of a decoder yields.
pub const REQUESTS_MAX: usize = 1024;

/// What a decoder has to respect, from configuration and from the connection's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest bulk string, in bytes ([`BULK_BYTES_MAX`]).
    pub bulk_bytes_max: usize,
    /// Most arguments of one request, or keys of a memcached get ([`ARGS_MAX`]).
    pub args_max: usize,
    /// Most requests of one call ([`REQUESTS_MAX`]); 0 counts as 1.
    pub requests_max: usize,
    /// Whether the client may send large requests. Until then the `UNAUTHENTICATED_` limits hold, and a call yields one
    /// request, because that one may be what authenticates.
    pub authenticated: bool,
    /// memcached's item limit, in bytes ([`MEMCACHED_ITEM_BYTES_MAX`]), overhead included.
    pub item_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bulk_bytes_max: BULK_BYTES_MAX,
            args_max: ARGS_MAX,
            requests_max: REQUESTS_MAX,
            authenticated: true,
            item_bytes_max: MEMCACHED_ITEM_BYTES_MAX,
        }
    }
}

impl Limits {
    /// Requests that one call may yield.
    pub(crate) fn requests_per_call(&self) -> usize {
        if self.authenticated { self.requests_max.max(1) } else { 1 }
    }
}
