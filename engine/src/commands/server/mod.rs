//! The server commands.

mod command;
mod config;
pub(crate) mod dbsize;
mod debug;
mod debug_object;
pub mod flush;
mod info;
mod memory;
mod swapdb;
mod time;

use crate::spec::Spec;

/// Sorted by name.
pub static SPECS: &[&Spec] = &[
    &command::COMMAND,
    &command::COUNT,
    &command::DOCS,
    &command::GETKEYS,
    &command::GETKEYSANDFLAGS,
    &command::HELP,
    &command::INFO,
    &command::LIST,
    &config::CONFIG,
    &config::GET,
    &config::HELP,
    &config::RESETSTAT,
    &config::REWRITE,
    &config::SET,
    &dbsize::DBSIZE,
    &debug_object::DEBUG,
    &debug::HELP,
    &debug_object::OBJECT,
    &debug::SLEEP,
    &flush::FLUSHALL,
    &flush::FLUSHDB,
    &info::INFO,
    &memory::MEMORY,
    &memory::HELP,
    &memory::USAGE,
    &swapdb::SWAPDB,
    &time::TIME,
];
