//! The link: framed, multiplexed connections between processes. Frames and greetings here; the node's end serves
//! sessions, the proxy's end lives in the proxy.

mod body;
pub mod frame;
mod group;
pub mod hello;
pub mod news;
pub mod outbox;
pub mod serve;
mod session;
pub mod socket;
pub mod stats;
mod unit;
mod watch;

pub use session::{GATE_WAIT_MS, PARKED_BYTES_MAX, SESSIONS_MAX, UNSENT_BYTES_MAX};
