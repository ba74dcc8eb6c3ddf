//! OBJECT ENCODING, FREQ, HELP, IDLETIME, REFCOUNT.

use swell_wire::{Args, Out};

use super::inspect_untold;
use crate::commands::grammar::{key_arg, keys_at};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// Values are never shared between keys.
const REFERENCES: i64 = 1;

const NO_LFU: Fault = Fault::say(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching \
     between policies at runtime LRU and LFU data will take some time to adjust.",
);
const IS_LFU: Fault = Fault::say(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between \
     policies at runtime LRU and LFU data will take some time to adjust.",
);

/// As many lines as the real server has: transcripts compare their number.
const HELP_LINES: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Name the representation that the value of <key> is kept in: int, embstr",
    "    or raw for a string.",
    "FREQ <key>",
    "    Read the access counter of <key>. It grows with the logarithm of the number",
    "    of accesses, decays with time, and is kept under an LFU policy only.",
    "IDLETIME <key>",
    "    Tell how many seconds ago <key> was last used. Asking does not use it. This",
    "    is not kept under an LFU policy.",
    "REFCOUNT <key>",
    "    Tell how many references there are to the value of <key>. Values are never",
    "    shared, so there is always one.",
    "HELP",
    "    Show these lines.",
];

pub static OBJECT: Spec = Spec {
    name: "object",
    summary: "Container for commands that look into how a value is kept.",
    since: "2.2.3",
    complexity: "Depends on the subcommand",
    group: Group::Generic,
    arity: -2,
    flags: Flags::NONE,
    acl: Acl::SLOW,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Container,
};

pub static ENCODING: Spec = Spec {
    name: "object|encoding",
    summary: "Names the representation a value is kept in.",
    since: "2.2.3",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 3,
    flags: Flags::READONLY,
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::SLOW),
    keys: &[keys_at(2, 0, Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[key_arg("key", 0)],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(encoding),
};

pub static FREQ: Spec = Spec {
    name: "object|freq",
    summary: "Reads a key's access counter under an LFU policy.",
    since: "4.0.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 3,
    flags: Flags::READONLY,
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::SLOW),
    keys: &[keys_at(2, 0, Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[key_arg("key", 0)],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(freq),
};

pub static HELP: Spec = Spec {
    name: "object|help",
    summary: "Lists the subcommands of OBJECT.",
    since: "6.2.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 2,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::KEYSPACE.and(Acl::SLOW),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Whole(help),
};

pub static IDLETIME: Spec = Spec {
    name: "object|idletime",
    summary: "Says how many seconds ago a key was last used.",
    since: "2.2.3",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 3,
    flags: Flags::READONLY,
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::SLOW),
    keys: &[keys_at(2, 0, Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[key_arg("key", 0)],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(idletime),
};

pub static REFCOUNT: Spec = Spec {
    name: "object|refcount",
    summary: "Says how many references there are to a value.",
    since: "2.2.3",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 3,
    flags: Flags::READONLY,
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::SLOW),
    keys: &[keys_at(2, 0, Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[key_arg("key", 0)],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(refcount),
};

fn encoding(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let key = cx.key(args, 0);
    match inspect_untold(cx, key, |entry| entry.encoding()) {
        Some(encoding) => out.bulk(encoding.as_bytes()),
        None => out.null(),
    }
    Ok(())
}

/// A missing key is told before a wrong policy.
fn freq(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (key, now_ms, settings) = (cx.key(args, 0), cx.now_ms(), cx.engine.settings());
    match inspect_untold(cx, key, |entry| entry.lfu_counter(now_ms, settings.lfu_decay_minutes())) {
        Some(_) if !settings.policy().is_lfu() => return Err(NO_LFU),
        Some(counter) => out.int(counter.into()),
        None => out.null(),
    }
    Ok(())
}

/// Needs no lock, but a body without keys runs under all of them.
fn help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Reply {
    out.array(HELP_LINES.len());
    HELP_LINES.iter().for_each(|line| out.simple(line));
    Ok(())
}

/// A missing key is told before a wrong policy.
fn idletime(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (key, now_ms, is_lfu) = (cx.key(args, 0), cx.now_ms(), cx.engine.settings().policy().is_lfu());
    match inspect_untold(cx, key, |entry| entry.idle_ms(now_ms)) {
        Some(_) if is_lfu => return Err(IS_LFU),
        Some(idle_ms) => out.int((idle_ms / 1000) as i64),
        None => out.null(),
    }
    Ok(())
}

fn refcount(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let key = cx.key(args, 0);
    match inspect_untold(cx, key, |_| REFERENCES) {
        Some(references) => out.int(references),
        None => out.null(),
    }
    Ok(())
}
