//! ZPOPMIN and ZPOPMAX: members with the lowest and highest scores.

use swell_wire::{Args, Out, Proto};

use super::{write_members, write_score};
use crate::bulk;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::error::Fault;
use crate::exec::{Change, Exec, Missing, Reply, Tools};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::zset::ZSet;

/// ZPOPMAX.
pub static ZPOPMAX: Spec = Spec {
    name: "zpopmax",
    summary: "Takes the members with the highest scores out of a sorted set, and answers them.",
    since: "5.0.0",
    complexity: "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
    group: Group::SortedSet,
    arity: -2,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::SORTED_SET).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, ArgDoc { optional: true, ..plain_arg("count", ArgKind::Integer) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(zpopmax, bulk::of_count),
};

/// ZPOPMIN.
pub static ZPOPMIN: Spec = Spec {
    name: "zpopmin",
    summary: "Takes the members with the lowest scores out of a sorted set, and answers them.",
    since: "5.0.0",
    complexity: "O(log(N)*M) with N being the number of elements in the sorted set, and M being the number of elements popped.",
    group: Group::SortedSet,
    arity: -2,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::SORTED_SET).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, ArgDoc { optional: true, ..plain_arg("count", ArgKind::Integer) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(zpopmin, bulk::of_count),
};

fn zpopmax(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    pop(cx, args, out, true)
}

fn zpopmin(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    pop(cx, args, out, false)
}

fn pop(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, max: bool) -> Reply {
    if args.len() > 3 {
        return Err(Fault::Syntax);
    }
    let count = args.opt(2).map(count_of).transpose()?;
    let key = cx.key(args, 0);
    let popped = cx.edit::<ZSet, _>(key, Missing::Skip, |zset, tools| {
        let now = count.unwrap_or(1).min(zset.view().len());
        if now == 0 {
            out.array(0);
            return Ok((0, Change::None));
        }
        if count.is_none() && out.proto() == Proto::Resp3 {
            // Without a count it is one pair, not an array of pairs.
            out.array(2);
            let range = end_range(zset.view().len(), 1, max);
            for (member, score) in zset.view().ranks(range, max) {
                member.write(out);
                write_score(out, score);
            }
            take(zset, 1, max, tools);
        } else {
            pop_into(zset, now, max, true, tools, out);
        }
        Ok((now, Change::Verbatim))
    })?;
    match popped {
        Some(0) => {}
        Some(popped) => {
            cx.work(popped as u64 - 1);
            cx.notify_taken(Class::SORTED_SET, event_of(max), key);
        }
        None => out.array(0),
    }
    Ok(())
}

/// What a pop is called, as a command, as an effect and as an event.
pub(super) fn event_of(max: bool) -> &'static str {
    if max { "zpopmax" } else { "zpopmin" }
}

/// Answers and takes out `count` members, which are there.
pub(super) fn pop_into(zset: &mut ZSet, count: usize, max: bool, scores: bool, tools: &Tools, out: &mut Out) {
    let range = end_range(zset.view().len(), count, max);
    write_members(zset.view().ranks(range, max), count, scores, out);
    take(zset, count, max, tools);
}

/// Takes out `count` members, which are there.
pub(super) fn take(zset: &mut ZSet, count: usize, max: bool, tools: &Tools) {
    let range = end_range(zset.view().len(), count, max);
    zset.remove_ranks(range, &tools.hasher);
}

/// The ranks of the lowest or highest `count` members.
pub(super) fn end_range(len: usize, count: usize, max: bool) -> std::ops::Range<usize> {
    if max { len - count..len } else { 0..count }
}

fn count_of(arg: &[u8]) -> Result<usize, Fault> {
    const FAULT: Fault = Fault::say("ERR value is out of range, must be positive");
    let count = parse_i64(arg).ok_or(FAULT)?;
    usize::try_from(count).map_err(|_| FAULT)
}
