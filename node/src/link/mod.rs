//! The link: framed, multiplexed connections between processes. Frames and greetings here; the node's end serves
//! sessions, the proxy's end lives in the proxy.

pub mod frame;
pub mod hello;
pub mod socket;
