//! Bytes to requests and replies to bytes: RESP2, RESP3 and memcached text. No sockets, no commands, no clock.

pub mod arg;
pub mod error;
pub mod lazy;
pub mod limits;
mod long;
pub mod memcached;
pub mod out;
pub mod requests;
pub mod resp;
pub mod segments;

pub use arg::{Arg, Args, OwnedArgs, Span};
pub use error::Reject;
pub use limits::Limits;
pub use out::{Out, Proto};
pub use requests::{Item, Kind, Requests};
pub use segments::{SEGMENT_BYTES, Segments};
