//! Hosts an engine: the embedded handle that a proxy's worker calls as a function, upkeep, statistics.

pub mod embedded;
pub mod metrics;
pub mod stats;
pub mod upkeep;

pub use embedded::{Handle, Node};
