//! RESP requests: arrays of bulk strings and inline commands.

mod decode;
mod header;
mod inline;
mod torn;

pub use decode::Decoder;
