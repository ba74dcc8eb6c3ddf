//! BZPOPMIN and BZPOPMAX: a member off the first sorted set that has one, waiting until one has.

use swell_wire::{Args, Out, OwnedArgs};

use super::write_score;
use super::zpop::{end_range, event_of, take};
use crate::commands::blocking::{self, Timeout};
use crate::commands::grammar::{KEY, keys_at, plain_arg};
use crate::exec::{Exec, Missing, Reply};
use crate::notify::Class;
use crate::spec::*;
use crate::value::Kind;
use crate::value::zset::ZSet;

/// BZPOPMAX.
pub static BZPOPMAX: Spec = Spec {
    name: "bzpopmax",
    summary: "Takes the member with the highest score out of the first sorted set that has one, waiting until one has, and answers it.",
    since: "5.0.0",
    complexity: "O(log(N)) with N being the number of elements in the sorted set.",
    group: Group::SortedSet,
    arity: -3,
    flags: Flags::WRITE.and(Flags::BLOCKING).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::SORTED_SET).and(Acl::FAST).and(Acl::BLOCKING),
    keys: &[keys_at(1, -2, Access::Write, &["RW", "access", "delete"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[ArgDoc { multiple: true, ..KEY }, plain_arg("timeout", ArgKind::Double)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(bzpopmax),
};

/// BZPOPMIN.
pub static BZPOPMIN: Spec = Spec {
    name: "bzpopmin",
    summary: "Takes the member with the lowest score out of the first sorted set that has one, waiting until one has, and answers it.",
    since: "5.0.0",
    complexity: "O(log(N)) with N being the number of elements in the sorted set.",
    group: Group::SortedSet,
    arity: -3,
    flags: Flags::WRITE.and(Flags::BLOCKING).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::SORTED_SET).and(Acl::FAST).and(Acl::BLOCKING),
    keys: &[keys_at(1, -2, Access::Write, &["RW", "access", "delete"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[ArgDoc { multiple: true, ..KEY }, plain_arg("timeout", ArgKind::Double)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(bzpopmin),
};

fn bzpopmax(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    pop_or_wait(cx, args, out, true)
}

fn bzpopmin(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    pop_or_wait(cx, args, out, false)
}

fn pop_or_wait(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, max: bool) -> Reply {
    let timeout = Timeout::seconds(args.slice(args.len() - 1), cx.now_ms())?;
    for n in 0..cx.keys_len() {
        let key = cx.key(args, n);
        let popped = cx.edit::<ZSet, _>(key, Missing::Skip, |zset, tools| {
            out.array(3);
            out.bulk(key.bytes);
            let range = end_range(zset.view().len(), 1, max);
            for (member, score) in zset.view().ranks(range, max) {
                member.write(out);
                write_score(out, score);
            }
            take(zset, 1, max, tools);
            Ok(((), tools.effect(|| OwnedArgs::from_slices(&[event_of(max).as_bytes(), key.bytes]))))
        })?;
        cx.work(u64::from(n > 0));
        if popped.is_some() {
            cx.notify_taken(Class::SORTED_SET, event_of(max), key);
            return Ok(());
        }
    }
    if !blocking::wait(cx, Kind::ZSet, cx.keys_len(), timeout) {
        out.null_array();
    }
    Ok(())
}
