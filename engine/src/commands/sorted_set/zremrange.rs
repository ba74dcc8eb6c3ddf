//! ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX: ranges out of a sorted set.

use std::ops::Range;

use swell_wire::{Args, Out, OwnedArgs};

use super::zrange::rank_range;
use super::{lex_range, score_range};
use crate::bulk::ELEMENTS_AT_ONCE;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::error::Fault;
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::zset::{ZSet, ZSetRef};

/// ZREMRANGEBYLEX.
pub static ZREMRANGEBYLEX: Spec = Spec {
    name: "zremrangebylex",
    summary: "Takes the members between two names out of a sorted set.",
    since: "2.8.9",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
    group: Group::SortedSet,
    arity: 4,
    flags: Flags::WRITE,
    acl: Acl::WRITE.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["RW", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("min", ArgKind::String), plain_arg("max", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(zremrangebylex, size_by_lex),
};

/// ZREMRANGEBYRANK.
pub static ZREMRANGEBYRANK: Spec = Spec {
    name: "zremrangebyrank",
    summary: "Takes the members in a range of ranks out of a sorted set.",
    since: "2.0.0",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
    group: Group::SortedSet,
    arity: 4,
    flags: Flags::WRITE,
    acl: Acl::WRITE.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["RW", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("start", ArgKind::Integer), plain_arg("stop", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(zremrangebyrank, size_by_rank),
};

/// ZREMRANGEBYSCORE.
pub static ZREMRANGEBYSCORE: Spec = Spec {
    name: "zremrangebyscore",
    summary: "Takes the members with scores in a range out of a sorted set.",
    since: "1.2.0",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
    group: Group::SortedSet,
    arity: 4,
    flags: Flags::WRITE,
    acl: Acl::WRITE.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["RW", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("min", ArgKind::Double), plain_arg("max", ArgKind::Double)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(zremrangebyscore, size_by_score),
};

fn zremrangebylex(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let range = lex_range(args.slice(2), args.slice(3))?;
    remove(cx, args, out, "zremrangebylex", Told::AsRanks, |zset| zset.lex_range(&range, false))
}

fn zremrangebyrank(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let start = parse_i64(args.slice(2)).ok_or(Fault::NotInteger)?;
    let end = parse_i64(args.slice(3)).ok_or(Fault::NotInteger)?;
    remove(cx, args, out, "zremrangebyrank", Told::AsItIs, |zset| rank_range(start, end, zset.len()))
}

fn zremrangebyscore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let range = score_range(args.slice(2), args.slice(3))?;
    remove(cx, args, out, "zremrangebyscore", Told::AsItIs, |zset| zset.score_range(&range))
}

fn size_by_lex(cx: &Exec<'_>, args: Args<'_>) -> usize {
    let range = lex_range(args.slice(2), args.slice(3));
    range.map_or(0, |range| size(cx, args, |zset| zset.lex_range(&range, false)))
}

fn size_by_rank(cx: &Exec<'_>, args: Args<'_>) -> usize {
    let (Some(start), Some(end)) = (parse_i64(args.slice(2)), parse_i64(args.slice(3))) else { return 0 };
    size(cx, args, |zset| rank_range(start, end, zset.len()))
}

fn size_by_score(cx: &Exec<'_>, args: Args<'_>) -> usize {
    let range = score_range(args.slice(2), args.slice(3));
    range.map_or(0, |range| size(cx, args, |zset| zset.score_range(&range)))
}

/// As many members as a range has; nobody looks where that is little in any case.
fn size(cx: &Exec<'_>, args: Args<'_>, range: impl FnOnce(ZSetRef<'_>) -> Range<usize>) -> usize {
    match cx.look(cx.key(args, 0)).and_then(|entry| entry.collection::<ZSet>().ok()) {
        Some(zset) if zset.len() > ELEMENTS_AT_ONCE => range(zset).len(),
        _ => 0,
    }
}

/// How those who follow are told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// By the command itself.
    AsItIs,
    /// By ranks: what a range of names means where scores differ depends on how the tree has grown.
    AsRanks,
}

fn remove(
    cx: &mut Exec<'_>,
    args: Args<'_>,
    out: &mut Out,
    event: &str,
    told: Told,
    range: impl FnOnce(ZSetRef<'_>) -> Range<usize>,
) -> Reply {
    let key = cx.key(args, 0);
    let removed = cx.edit::<ZSet, _>(key, Missing::Skip, |zset, tools| {
        let range = range(zset.view());
        let count = range.len();
        if count == 0 {
            return Ok((0, Change::None));
        }
        let change = match told {
            Told::AsItIs => Change::Verbatim,
            Told::AsRanks => tools.effect(|| {
                let (start, end) = (range.start.to_string(), (range.end - 1).to_string());
                OwnedArgs::from_slices(&[&b"zremrangebyrank"[..], key.bytes, start.as_bytes(), end.as_bytes()])
            }),
        };
        zset.remove_ranks(range, &tools.hasher);
        Ok((count, change))
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        cx.notify_taken(Class::SORTED_SET, event, key);
    }
    out.int(removed as i64);
    cx.work(removed.saturating_sub(1) as u64);
    Ok(())
}
