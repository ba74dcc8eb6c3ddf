//! Drives the slot map: members, hand-overs, child processes, the durable store. The one writer of the map.
#![forbid(unsafe_code)]

mod ask;
pub mod charges;
pub mod drive;
pub mod error;
pub mod events;
mod join;
pub mod lost;
pub mod members;
mod nodes;
pub mod policy;
pub mod provider;
mod proxies;
mod ready;
pub mod scale;
pub mod scaler;
mod settle;
pub mod simulate;
pub mod store;
mod writer;

pub use charges::Charges;
pub use error::{ScalerError, StoreError};
pub use provider::cgroup::Limits;
pub use provider::process::ProcessConfig;
pub use scale::ScalingConfig;
pub use scaler::{Scaler, ScalerConfig, end_children};
