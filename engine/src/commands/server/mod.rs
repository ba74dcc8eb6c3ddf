//! The server commands.

mod acl;
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
    &acl::ACL,
    &acl::CAT,
    &acl::DELUSER,
    &acl::DRYRUN,
    &acl::GENPASS,
    &acl::GETUSER,
    &acl::HELP,
    &acl::LIST,
    &acl::LOAD,
    &acl::LOG,
    &acl::SAVE,
    &acl::SETUSER,
    &acl::USERS,
    &acl::WHOAMI,
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
