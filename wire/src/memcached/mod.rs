//! memcached text requests.

mod data;
mod decode;
mod line;
pub mod number;

pub use decode::Decoder;
