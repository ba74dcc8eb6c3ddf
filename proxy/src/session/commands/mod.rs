//! Bodies of the commands that the proxy answers, found by the command's number.

mod acl;
pub(crate) mod auth;
pub(crate) mod client;
mod cluster;
mod command;
mod commandlog;
pub mod config;
mod debug;
mod echo;
mod function;
mod hello;
mod info;
mod latency;
mod lolwut;
mod mc_flush_all;
mod mc_quit;
mod mc_stats;
mod mc_verbosity;
mod mc_version;
pub mod memory;
mod module;
mod monitor;
mod multi;
mod persistence;
mod ping;
mod quit;
mod readonly;
mod replication;
mod reset;
mod script;
mod select;
mod subscribe;
mod time;
mod wait;

use std::sync::LazyLock;

use swell_engine::commands::table::tables;
use swell_engine::spec::CommandId;
use swell_wire::{Args, Out};

use crate::error::ProxyError;
use crate::session::{Flow, SessionCx, watch};

/// Writes a reply, or says that it will be late. Never waits for a stripe: it may run inside a transaction.
pub type SessionBody = fn(&mut SessionCx<'_>, Args<'_>, &mut Out) -> Flow;

/// One row per command, sorted by name; memcached verbs stand as "memcached:verb".
static ROWS: &[(&str, SessionBody)] = &[
    ("acl|cat", acl::cat),
    ("acl|deluser", acl::del_user),
    ("acl|dryrun", acl::dry_run),
    ("acl|genpass", acl::gen_pass),
    ("acl|getuser", acl::get_user),
    ("acl|help", acl::show_help),
    ("acl|list", acl::list),
    ("acl|load", acl::load),
    ("acl|log", acl::log),
    ("acl|save", acl::save),
    ("acl|setuser", acl::set_user),
    ("acl|users", acl::users),
    ("acl|whoami", acl::who_am_i),
    ("asking", readonly::accept),
    ("auth", auth::auth),
    ("bgrewriteaof", persistence::refuse),
    ("bgsave", persistence::bgsave),
    ("client|caching", client::caching),
    ("client|capa", client::capa),
    ("client|getname", client::get_name),
    ("client|getredir", client::get_redir),
    ("client|help", client::show_help),
    ("client|id", client::id),
    ("client|import-source", client::import_source),
    ("client|info", client::info),
    ("client|kill", client::kill),
    ("client|list", client::list),
    ("client|no-evict", client::no_evict),
    ("client|no-touch", client::no_touch),
    ("client|pause", client::pause),
    ("client|reply", client::reply),
    ("client|setinfo", client::set_info),
    ("client|setname", client::set_name),
    ("client|tracking", client::tracking),
    ("client|trackinginfo", client::tracking_info),
    ("client|unblock", client::unblock),
    ("client|unpause", client::unpause),
    ("cluster|help", cluster::show_help),
    ("cluster|info", cluster::info),
    ("cluster|keyslot", cluster::key_slot),
    ("cluster|myid", cluster::my_id),
    ("cluster|nodes", cluster::nodes),
    ("cluster|shards", cluster::shards),
    ("cluster|slots", cluster::slots),
    ("command", command::all),
    ("commandlog|get", commandlog::get),
    ("commandlog|help", commandlog::show_help),
    ("commandlog|len", commandlog::len),
    ("commandlog|reset", commandlog::reset),
    ("command|count", command::count),
    ("command|docs", command::docs),
    ("command|getkeys", command::get_keys),
    ("command|getkeysandflags", command::get_keys_and_flags),
    ("command|help", command::show_help),
    ("command|info", command::info),
    ("command|list", command::list),
    ("config|get", config::get),
    ("config|help", config::show_help),
    ("config|resetstat", config::reset_stat),
    ("config|rewrite", config::rewrite),
    ("config|set", config::set),
    ("debug|error", debug::error),
    ("debug|help", debug::show_help),
    ("debug|log", debug::log),
    ("debug|protocol", debug::protocol),
    ("debug|sleep", debug::sleep),
    ("discard", multi::discard),
    ("echo", echo::echo),
    ("exec", multi::exec),
    ("failover", replication::failover),
    ("function|delete", function::delete),
    ("function|dump", function::dump),
    ("function|flush", function::flush),
    ("function|help", function::show_help),
    ("function|kill", function::kill),
    ("function|list", function::list),
    ("function|load", function::load),
    ("function|restore", function::restore),
    ("function|stats", function::stats),
    ("hello", hello::hello),
    ("info", info::info),
    ("lastsave", persistence::last_save),
    ("latency|doctor", latency::doctor),
    ("latency|graph", latency::graph),
    ("latency|help", latency::show_help),
    ("latency|histogram", latency::histogram),
    ("latency|history", latency::history),
    ("latency|latest", latency::latest),
    ("latency|reset", latency::reset),
    ("lolwut", lolwut::lolwut),
    ("memcached:flush_all", mc_flush_all::flush_all),
    ("memcached:quit", mc_quit::quit),
    ("memcached:stats", mc_stats::stats),
    ("memcached:verbosity", mc_verbosity::verbosity),
    ("memcached:version", mc_version::version),
    ("memory|doctor", memory::doctor),
    ("memory|malloc-stats", memory::malloc_stats),
    ("memory|purge", memory::purge),
    ("memory|stats", memory::stats),
    ("module|help", module::show_help),
    ("module|list", module::list),
    ("module|load", module::refuse),
    ("module|loadex", module::refuse),
    ("module|unload", module::refuse),
    ("monitor", monitor::monitor),
    ("multi", multi::multi),
    ("ping", ping::ping),
    ("psubscribe", subscribe::psubscribe),
    ("psync", replication::refuse),
    ("punsubscribe", subscribe::punsubscribe),
    ("quit", quit::quit),
    ("readonly", readonly::accept),
    ("readwrite", readonly::accept),
    ("replconf", replication::refuse),
    ("replicaof", replication::replica_of),
    ("reset", reset::reset),
    ("role", replication::role),
    ("save", persistence::refuse),
    ("script|debug", script::debug),
    ("script|exists", script::exists),
    ("script|flush", script::flush),
    ("script|help", script::show_help),
    ("script|kill", script::kill),
    ("script|load", script::load),
    ("script|show", script::show),
    ("select", select::select),
    ("shutdown", persistence::shutdown),
    ("slaveof", replication::replica_of),
    ("slowlog|get", commandlog::slow_get),
    ("slowlog|help", commandlog::slow_help),
    ("slowlog|len", commandlog::slow_len),
    ("slowlog|reset", commandlog::slow_reset),
    ("ssubscribe", subscribe::ssubscribe),
    ("subscribe", subscribe::subscribe),
    ("sunsubscribe", subscribe::sunsubscribe),
    ("sync", replication::refuse),
    ("time", time::time),
    ("unsubscribe", subscribe::unsubscribe),
    ("unwatch", watch::unwatch),
    ("wait", wait::wait),
    ("waitaof", wait::wait_aof),
    ("watch", watch::watch),
];

static BODIES: LazyLock<Vec<Option<SessionBody>>> = LazyLock::new(|| {
    let resp = tables().resp.iter().map(|command| find(command.spec.name));
    let memcached = tables().memcached.iter().map(|command| find(&format!("memcached:{}", command.spec.name)));
    resp.chain(memcached).collect()
});

/// The body of a command that the proxy answers.
pub fn body_of(id: CommandId) -> Option<SessionBody> {
    BODIES.get(id.0 as usize).copied().flatten()
}

/// The end of a body that may fail: its reply is written, or its error.
pub fn done(result: Result<(), ProxyError>, out: &mut Out) -> Flow {
    if let Err(error) = result {
        out.error(&error.to_string());
    }
    Flow::Done
}

/// A HELP reply, line by line.
fn help(lines: &[&str], out: &mut Out) -> Flow {
    out.array(lines.len());
    lines.iter().for_each(|line| out.simple(line));
    Flow::Done
}

/// A pair of texts in a map.
fn pair(out: &mut Out, name: &str, value: &str) {
    out.bulk(name.as_bytes());
    out.bulk(value.as_bytes());
}

fn find(name: &str) -> Option<SessionBody> {
    ROWS.iter().find(|(row, _)| *row == name).map(|(_, body)| *body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swell_engine::spec::Body;

    #[test]
    fn every_session_command_has_exactly_one_body_and_no_other_has() {
        assert!(ROWS.windows(2).all(|pair| pair[0].0 < pair[1].0), "rows are sorted");
        let mut used = 0;
        for command in tables().iter() {
            let has_body = body_of(command.id).is_some();
            let may_stand_alone = matches!(command.spec.body, Body::Container) && command.spec.arity_fits(1);
            let wants_body = matches!(command.spec.body, Body::Session) || may_stand_alone;
            assert_eq!(has_body, wants_body, "{}", command.spec.name);
            used += usize::from(has_body);
        }
        assert_eq!(used, ROWS.len(), "every row belongs to a command");
    }
}
