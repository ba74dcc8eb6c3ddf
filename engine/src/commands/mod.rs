//! The commands, a file each, by family; and the one table of all of them.

pub mod bitmap;
pub mod blocking;
pub mod cluster;
mod collection_scan;
pub mod connection;
pub mod generic;
pub mod geo;
mod grammar;
pub mod hash;
pub mod hyperloglog;
pub mod list;
pub mod memcached;
pub mod options;
pub mod pubsub;
pub mod scripting;
pub mod server;
pub mod set;
pub mod sorted_set;
pub mod stream;
pub mod string;
pub mod table;
pub mod transactions;
