//! The server commands.

mod acl;
mod command;
mod commandlog;
mod config;
pub(crate) mod dbsize;
mod debug;
mod debug_object;
pub mod flush;
mod info;
mod latency;
mod lolwut;
mod memory;
mod memory_stats;
mod module;
mod monitor;
mod persistence;
mod replication;
mod slowlog;
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
    &persistence::BGREWRITEAOF,
    &persistence::BGSAVE,
    &command::COMMAND,
    &commandlog::COMMANDLOG,
    &commandlog::GET,
    &commandlog::HELP,
    &commandlog::LEN,
    &commandlog::RESET,
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
    &debug::ERROR,
    &debug::HELP,
    &debug::LOG,
    &debug_object::OBJECT,
    &debug::PROTOCOL,
    &debug::SLEEP,
    &replication::FAILOVER,
    &flush::FLUSHALL,
    &flush::FLUSHDB,
    &info::INFO,
    &persistence::LASTSAVE,
    &latency::LATENCY,
    &latency::DOCTOR,
    &latency::GRAPH,
    &latency::HELP,
    &latency::HISTOGRAM,
    &latency::HISTORY,
    &latency::LATEST,
    &latency::RESET,
    &lolwut::LOLWUT,
    &memory::MEMORY,
    &memory_stats::DOCTOR,
    &memory::HELP,
    &memory_stats::MALLOC_STATS,
    &memory_stats::PURGE,
    &memory_stats::STATS,
    &memory::USAGE,
    &module::MODULE,
    &module::HELP,
    &module::LIST,
    &module::LOAD,
    &module::LOADEX,
    &module::UNLOAD,
    &monitor::MONITOR,
    &replication::PSYNC,
    &replication::REPLCONF,
    &replication::REPLICAOF,
    &replication::ROLE,
    &persistence::SAVE,
    &persistence::SHUTDOWN,
    &replication::SLAVEOF,
    &slowlog::SLOWLOG,
    &slowlog::GET,
    &slowlog::HELP,
    &slowlog::LEN,
    &slowlog::RESET,
    &swapdb::SWAPDB,
    &replication::SYNC,
    &time::TIME,
];
