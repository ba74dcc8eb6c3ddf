//! XINFO CONSUMERS, GROUPS, HELP: looking into the groups of a stream.

use swell_wire::{Args, Out};

use super::{bulk_id, no_such_group};
use crate::commands::grammar::{KEY, keys_at, plain_arg};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::stream::{Group as ConsumerGroup, Log, Stream};

/// As many lines as the real server has: transcripts compare their number.
const HELP_LINES: &[&str] = &[
    "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CONSUMERS <key> <groupname>",
    "    List the consumers of a group.",
    "GROUPS <key>",
    "    List the groups of a stream.",
    "STREAM <key> [FULL [COUNT <count>]",
    "    Describe a stream, with FULL all that is in it.",
    "HELP",
    "    Show these lines.",
];

/// XINFO.
pub static XINFO: Spec = Spec {
    name: "xinfo",
    summary: "Container for commands that look into streams.",
    since: "5.0.0",
    complexity: "Depends on the subcommand",
    group: Group::Stream,
    arity: -2,
    flags: Flags::NONE,
    acl: Acl::SLOW,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Container,
};

/// XINFO CONSUMERS.
pub static CONSUMERS: Spec = Spec {
    name: "xinfo|consumers",
    summary: "Lists the consumers of a group.",
    since: "5.0.0",
    complexity: "O(N) where N is the number of consumers",
    group: Group::Stream,
    arity: 4,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::STREAM).and(Acl::SLOW),
    keys: &[keys_at(2, 0, Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output"],
    arguments: &[KEY, plain_arg("group", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(consumers),
};

/// XINFO GROUPS.
pub static GROUPS: Spec = Spec {
    name: "xinfo|groups",
    summary: "Lists the consumer groups of a stream.",
    since: "5.0.0",
    complexity: "O(N) where N is the number of groups",
    group: Group::Stream,
    arity: 3,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::STREAM).and(Acl::SLOW),
    keys: &[keys_at(2, 0, Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(groups),
};

/// XINFO HELP.
pub static HELP: Spec = Spec {
    name: "xinfo|help",
    summary: "Lists the subcommands of XINFO.",
    since: "5.0.0",
    complexity: "O(1)",
    group: Group::Stream,
    arity: 2,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::STREAM.and(Acl::SLOW),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Whole(help),
};

fn consumers(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (key, now_ms) = (cx.key(args, 0), cx.now_ms());
    let stream = cx.read(key).ok_or(Fault::NoSuchKey)?.collection::<Stream>()?;
    let group = stream.group(args.slice(3)).ok_or_else(|| no_such_group(args.slice(2), args.slice(3)))?;
    let consumers = group.consumers();
    let count = consumers.len();
    out.array(count);
    for (_, consumer) in consumers {
        out.map(4);
        out.bulk(b"name");
        out.bulk(consumer.name());
        out.bulk(b"pending");
        out.int(consumer.pending_len() as i64);
        out.bulk(b"idle");
        out.int((now_ms as i64).wrapping_sub(consumer.seen_ms as i64).max(0));
        out.bulk(b"inactive");
        out.int(consumer.active_ms.map_or(-1, |active_ms| now_ms.wrapping_sub(active_ms) as i64));
    }
    cx.work(count.saturating_sub(1) as u64);
    Ok(())
}

fn groups(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let stream = cx.read(cx.key(args, 0)).ok_or(Fault::NoSuchKey)?.collection::<Stream>()?;
    let groups = stream.groups();
    let count = groups.len();
    out.array(count);
    for (name, group) in groups {
        out.map(6);
        out.bulk(b"name");
        out.bulk(name);
        out.bulk(b"consumers");
        out.int(group.consumers().len() as i64);
        out.bulk(b"pending");
        out.int(group.pending_len() as i64);
        progress(stream.log(), group, out);
    }
    cx.work(count.saturating_sub(1) as u64);
    Ok(())
}

/// Needs no lock, but a body without keys runs under all of them.
fn help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Reply {
    out.array(HELP_LINES.len());
    HELP_LINES.iter().for_each(|line| out.simple(line));
    Ok(())
}

/// Three pairs: how far a group has read, and how far it has to go, where that is known.
pub(super) fn progress(log: &Log, group: &ConsumerGroup, out: &mut Out) {
    out.bulk(b"last-delivered-id");
    bulk_id(out, group.last_id);
    out.bulk(b"entries-read");
    int_or_null(out, group.entries_read);
    out.bulk(b"lag");
    int_or_null(out, log.lag(group));
}

fn int_or_null(out: &mut Out, number: Option<i64>) {
    match number {
        Some(number) => out.int(number),
        None => out.null(),
    }
}
