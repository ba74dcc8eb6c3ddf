//! Bodies of the commands that the proxy answers, found by the command's number.

mod auth;
mod client;
mod cluster;
mod echo;
mod hello;
mod multi;
mod ping;
mod quit;
mod readonly;
mod reset;
mod select;

use std::sync::LazyLock;

use swell_engine::commands::table::tables;
use swell_engine::spec::CommandId;
use swell_wire::{Args, Out};

use crate::error::ProxyError;
use crate::session::{Flow, SessionCx};

/// Writes a reply, or says that it will be late. Never waits for a stripe: it may run inside a transaction.
pub type SessionBody = fn(&mut SessionCx<'_>, Args<'_>, &mut Out) -> Flow;

/// One row per command, sorted by name; memcached verbs stand as "memcached:verb".
static ROWS: &[(&str, SessionBody)] = &[
    ("asking", readonly::accept),
    ("auth", auth::auth),
    ("client|getname", client::get_name),
    ("client|help", client::show_help),
    ("client|id", client::id),
    ("client|info", client::info),
    ("client|kill", client::kill),
    ("client|list", client::list),
    ("client|no-evict", client::no_evict),
    ("client|no-touch", client::no_touch),
    ("client|reply", client::reply),
    ("client|setinfo", client::set_info),
    ("client|setname", client::set_name),
    ("cluster|help", cluster::show_help),
    ("cluster|info", cluster::info),
    ("cluster|keyslot", cluster::key_slot),
    ("cluster|myid", cluster::my_id),
    ("cluster|nodes", cluster::nodes),
    ("cluster|shards", cluster::shards),
    ("cluster|slots", cluster::slots),
    ("discard", multi::discard),
    ("echo", echo::echo),
    ("exec", multi::exec),
    ("hello", hello::hello),
    ("multi", multi::multi),
    ("ping", ping::ping),
    ("quit", quit::quit),
    ("readonly", readonly::accept),
    ("readwrite", readonly::accept),
    ("reset", reset::reset),
    ("select", select::select),
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
fn done(result: Result<(), ProxyError>, out: &mut Out) -> Flow {
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
            assert_eq!(has_body, matches!(command.spec.body, Body::Session), "{}", command.spec.name);
            used += usize::from(has_body);
        }
        assert_eq!(used, ROWS.len(), "every row belongs to a command");
    }
}
