//! The data: key space, values, commands and their table, expiry, eviction. No sockets, no clock, no owner of slots.

pub mod admit;
pub mod bulk;
pub mod clock;
pub mod commands;
pub mod double;
pub mod effect;
pub mod engine;
pub mod entry;
pub mod error;
pub mod evict;
pub mod exec;
pub mod expire;
mod garbage;
pub mod gate;
pub mod glob;
pub mod heap;
pub mod import;
pub mod key;
pub mod metric;
pub mod number;
pub mod rdb;
pub mod run;
pub mod slices;
pub mod spec;
pub mod state;
pub mod stripe;
pub mod table;
pub mod value;
pub mod walk;

pub use engine::{Engine, Local, Stats};
pub use error::Fault;
pub use exec::{Call, Context, Exec, Reply};
pub use key::{Db, Key, KeyHash};
pub use run::Outcome;
pub use slices::Deferred;
pub use spec::{CommandId, Spec};
