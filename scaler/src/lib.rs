//! Drives the slot map: members, hand-overs, child processes, the durable store. The one writer of the map.
#![forbid(unsafe_code)]

mod ask;
mod writer;
pub mod drive;
pub mod error;
pub mod events;
pub mod members;
mod nodes;
pub mod provider;
mod ready;
pub mod scaler;
pub mod store;

pub use error::{ScalerError, StoreError};
pub use provider::process::ProcessConfig;
pub use scaler::{Scaler, ScalerConfig};
