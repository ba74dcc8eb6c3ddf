//! `docs/compatibility.md`: every command of Valkey 9.1, and whether it is here: yes, differs (how and why), or no (why).
//! The names were recorded from that server's own `COMMAND LIST`; what is here is read from the command table.

use swell_engine::commands::table::tables;

/// Commands and subcommands of Valkey 9.1, one a line, sorted.
const VALKEY: &str = include_str!("valkey-9.1-commands.txt");

const INTRO: &str = "\
# Valkey 9.1's commands

Printed by `swell print compatibility`. **yes**: it answers as Valkey does. **differs**: it is there, and what is said \
beside it is otherwise. **no**: it is not there, or always refused, for the reason beside it. How single replies differ \
is in [differences.md](differences.md), what each command costs in [commands.md](commands.md).

With more than one node an atomic command whose keys lie in several slots answers `-CROSSSLOT`. Commands about clients \
and about what was called (CLIENT, MONITOR, SLOWLOG, COMMANDLOG, LATENCY, ACL LOG, INFO, CONFIG) speak for all proxies of \
the cache, whichever is asked: one that does not answer within half a second is left out, and in a transaction or a script \
they answer an error while there are several proxies. memcached's clients authenticate by its ascii protocol; there is no \
SASL, as there is no binary protocol.

| command | here | what is otherwise, and why |
| --- | --- | --- |
";

/// Commands that are there and do something else.
const DIFFERS: &[(&str, &str)] = &[
    ("bgrewriteaof", "always an error: there is no append-only file, and OK would promise one"),
    ("bgsave", "always an error: nothing is kept on disk"),
    ("client|import-source", "ON is refused: there is no import mode"),
    ("client|no-evict", "noted and shown; clients are never closed to save memory"),
    ("client|pause", "keys on nodes in other processes go on expiring"),
    ("client|tracking", "REDIRECT names clients of the same proxy"),
    (
        "commandlog|get",
        "of keys on nodes in other processes: only requests that run alone (large, transactions, walks)",
    ),
    ("command|docs", "sentences are Swell's own"),
    ("config|rewrite", "always an error: no configuration file is written"),
    ("config|set", "options that nothing here goes by take the value they have and no other"),
    ("debug", "ERROR, LOG, OBJECT, PROTOCOL, SLEEP, HELP"),
    (
        "eval",
        "math.random goes on from script to script; a script that was short and then is long, and has written, is ended at the time limit; several nodes: keys of one slot",
    ),
    ("evalsha", "as EVAL; after a plain EVAL the body is known to that proxy only (SCRIPT LOAD tells all)"),
    ("failover", "always an error: there are no replicas"),
    ("fcall", "as EVAL"),
    ("info", "fields that mean nothing here are left out or say so; more of it in the section Swell"),
    ("lastsave", "the start of the process: nothing is saved"),
    ("latency|doctor", "in Swell's own words"),
    ("latency|histogram", "of commands in pipelines a sample, scaled to all calls"),
    ("latency|latest", "events are command, fast-command and expire-cycle"),
    ("lolwut", "a picture of Swell's own"),
    ("memory|doctor", "in Swell's own words"),
    ("memory|malloc-stats", "figures of Swell's heap"),
    ("memory|stats", "without what there is no figure for"),
    ("memory|usage", "sizes are kept, not sampled"),
    ("module|list", "always empty"),
    ("module|load", "always an error: there are no modules"),
    ("module|loadex", "always an error: there are no modules"),
    ("module|unload", "always an error: there are no modules"),
    (
        "monitor",
        "what scripts call is not shown, nor what comes with MONITOR in one write; an argument over a mebibyte is cut; a client that does not read is ended by its output limit",
    ),
    ("object|encoding", "see differences.md"),
    ("psubscribe", "as SUBSCRIBE"),
    ("psync", "always an error: there is no replication stream"),
    ("replconf", "always an error: there is no replication stream"),
    ("replicaof", "NO ONE only: nodes share the slots"),
    ("save", "always an error: nothing is kept on disk"),
    ("script|debug", "nothing is debugged"),
    ("shutdown", "ends this process as a signal does; SAVE is refused"),
    ("slaveof", "NO ONE only: nodes share the slots"),
    ("slowlog|get", "of keys on nodes in other processes: only requests that run alone (large, transactions, walks)"),
    (
        "subscribe",
        "inside MULTI and with nodes in other processes it takes effect after what the transaction publishes",
    ),
    ("swapdb", "refused inside a transaction where there may be several nodes"),
    ("sync", "always an error: there is no replication stream"),
    ("watch", "a watched key whose slot moves counts as changed; several nodes: keys of one slot"),
];

/// Why commands are not there: by name, or all subcommands of a container.
const MISSING: &[(&str, &str)] = &[
    ("cluster", "the scaler alone changes the slot map; clients see one virtual node"),
    ("clusterscan", "SCAN goes over all nodes"),
    ("migrate", "slots move by themselves; DUMP and RESTORE copy single keys"),
    ("restore-asking", "nodes are not asked by clients: RESTORE"),
];

/// The text of `docs/compatibility.md`.
pub fn compatibility_page() -> String {
    let mut text = INTRO.to_owned();
    for name in VALKEY.lines() {
        let (here, note) = standing(name);
        text += &format!("| `{}` | {here} | {note} |\n", name.to_uppercase().replace('|', " "));
    }
    text
}

/// Whether a command of Valkey is here, and what is otherwise.
fn standing(name: &str) -> (&'static str, &'static str) {
    let note = |notes: &'static [(&str, &'static str)], name: &str| {
        notes.iter().find(|(known, _)| *known == name).map(|(_, note)| *note)
    };
    if tables().resp.by_name(name.as_bytes()).is_some() {
        return note(DIFFERS, name).map_or(("yes", ""), |note| ("differs", note));
    }
    let container = name.split('|').next().unwrap_or(name);
    ("no", note(MISSING, name).or_else(|| note(MISSING, container)).unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::tests::committed_page_is;

    #[test]
    fn docs_compatibility_md_is_what_is_printed() {
        committed_page_is("docs/compatibility.md", &compatibility_page());
    }

    #[test]
    fn every_command_of_valkey_has_a_row_and_what_is_missing_a_reason() {
        let names: Vec<&str> = VALKEY.lines().collect();
        assert!(names.len() > 390 && names.is_sorted(), "{} names", names.len());
        for name in &names {
            let (here, note) = standing(name);
            assert!(here == "yes" || !note.is_empty(), "{name}: {here}, and nobody says why");
        }
        assert_eq!(compatibility_page().lines().filter(|line| line.starts_with("| `")).count(), names.len());
    }

    #[test]
    fn notes_are_about_commands_that_there_are() {
        for notes in [DIFFERS, MISSING] {
            assert!(notes.is_sorted_by_key(|(name, _)| name), "notes are sorted");
        }
        for (name, _) in DIFFERS {
            assert!(tables().resp.by_name(name.as_bytes()).is_some(), "{name} is not here");
            assert!(VALKEY.lines().any(|known| known == *name), "{name} is not Valkey's");
        }
    }
}
