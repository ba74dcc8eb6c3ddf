//! What rules call categories and commands.

use crate::commands::table::{Command, tables};
use crate::spec::{Acl, CommandId};

/// Commands of Valkey that are not here. Rules may name them all the same, so that users who were written for Valkey can
/// be taken over: allowed or not, they are unknown.
const ABSENT: &[&str] = &[
    "bgrewriteaof",
    "bgsave",
    "clusterscan",
    "commandlog",
    "failover",
    "migrate",
    "module",
    "monitor",
    "psync",
    "replconf",
    "replicaof",
    "restore-asking",
    "save",
    "shutdown",
    "slaveof",
    "sync",
];

/// What a rule names.
pub enum Named {
    Command(Command),
    /// Known to Valkey, not here.
    Absent,
}

/// The category with this name, in any case.
pub fn category(name: &[u8]) -> Option<Acl> {
    Acl::NAMES.iter().find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name)).map(|(acl, _)| *acl)
}

/// A command ("get") or a subcommand ("config|get").
pub fn named(name: &[u8]) -> Option<Named> {
    let command = tables().resp.by_name(name).map(Named::Command);
    command.or_else(|| is_absent(name).then_some(Named::Absent))
}

/// The command that permission is asked of for this one: a memcached verb is as good as the command that does the same.
#[inline]
pub fn judged_as(id: CommandId) -> CommandId {
    static VERBS: std::sync::LazyLock<Vec<CommandId>> = std::sync::LazyLock::new(|| {
        let judged = |command: Command| tables().resp.by_name(as_resp(command.spec.name).as_bytes());
        tables().memcached.iter().map(|command| judged(command).map_or(command.id, |resp| resp.id)).collect()
    });
    let resp = tables().len() - VERBS.len();
    match (id.0 as usize).checked_sub(resp) {
        None => id,
        Some(verb) => VERBS.get(verb).copied().unwrap_or(id),
    }
}

fn is_absent(name: &[u8]) -> bool {
    let parent = name.split(|byte| *byte == b'|').next().unwrap_or(name);
    ABSENT.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(parent))
}

/// The RESP command that does what a memcached verb does.
fn as_resp(verb: &str) -> &'static str {
    match verb {
        "append" | "prepend" => "append",
        "decr" => "decrby",
        "incr" => "incrby",
        "delete" => "del",
        "flush_all" => "flushdb",
        "gat" | "gats" => "getex",
        "get" | "gets" => "get",
        "quit" => "quit",
        "add" | "cas" | "replace" | "set" => "set",
        "stats" => "info",
        "touch" => "expire",
        "verbosity" => "config|set",
        _ => "ping",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_memcached_verb_is_judged_as_a_command_that_there_is() {
        for command in tables().memcached.iter() {
            let judged = tables().by_id(judged_as(command.id)).unwrap();
            assert_eq!(judged.spec.name, as_resp(command.spec.name));
        }
        let get = tables().resp.by_name(b"get").unwrap();
        assert_eq!(judged_as(get.id), get.id);
    }
}
