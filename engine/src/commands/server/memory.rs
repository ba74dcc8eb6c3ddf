//! MEMORY USAGE, MEMORY HELP.

use swell_wire::{Args, Out};

use crate::commands::grammar::{key_arg, keys_at, plain_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::number::parse_i64;
use crate::spec::*;

const HELP_LINES: &[&str] = &[
    "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "USAGE <key> [SAMPLES <count>]",
    "    Tell how many bytes <key> and its value occupy. <count> is accepted for",
    "    nested values; sizes here are kept, not sampled.",
    "HELP",
    "    Print these lines.",
];

pub static MEMORY: Spec = Spec {
    name: "memory",
    summary: "Container for commands about memory.",
    since: "4.0.0",
    complexity: "Depends on subcommand.",
    group: Group::Server,
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

pub static HELP: Spec = Spec {
    name: "memory|help",
    summary: "Lists the subcommands of MEMORY.",
    since: "4.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 2,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::SLOW,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Whole(help),
};

pub static USAGE: Spec = Spec {
    name: "memory|usage",
    summary: "Says how many bytes a key and its value occupy.",
    since: "4.0.0",
    complexity: "O(N) in the number of samples",
    group: Group::Server,
    arity: -3,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::SLOW),
    keys: &[keys_at(2, 0, Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        key_arg("key", 0),
        ArgDoc { token: "SAMPLES", optional: true, ..plain_arg("count", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(usage),
};

/// The accounted bytes of the key's entry. The options are checked before the key is looked for.
fn usage(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    check_options(args)?;
    match cx.peek(cx.key(args, 0)) {
        Some(entry) => out.int(entry.heap_bytes() as i64),
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

fn check_options(args: Args<'_>) -> Result<(), Fault> {
    let mut at = 3;
    while at < args.len() {
        if !is_word(args.slice(at), "SAMPLES") || at + 1 == args.len() {
            return Err(Fault::Syntax);
        }
        if parse_i64(args.slice(at + 1)).ok_or(Fault::NotInteger)? < 0 {
            return Err(Fault::Syntax);
        }
        at += 2;
    }
    Ok(())
}
