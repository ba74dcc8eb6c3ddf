//! Hosts an engine: the embedded handle that a proxy's worker calls as a function, the link server that does the same
//! for other processes, the stream of slots and their hand-over, upkeep, statistics.

pub mod broker;
pub mod control;
pub mod copies;
pub mod embedded;
pub mod handover;
mod helpers;
pub mod host;
pub mod link;
pub mod metrics;
pub mod stats;
pub mod stream;
pub mod upkeep;
pub mod view;
pub mod worker;

pub use embedded::{Handle, Node};
