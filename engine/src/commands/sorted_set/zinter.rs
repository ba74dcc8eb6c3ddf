//! ZINTER, ZINTERSTORE and ZINTERCARD.

use swell_wire::{Args, Out};

use super::aggregate::{Aggregate, Operation, answer, intersect, number_of_keys, sources, store, touch};
use crate::bulk;
use crate::commands::grammar::{KEY, key_arg, one_key, plain_arg, token, word_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::number::parse_i64;
use crate::spec::*;

/// ZINTER.
pub static ZINTER: Spec = Spec {
    name: "zinter",
    summary: "Answers the members that all of several sorted sets have in common.",
    since: "6.2.0",
    complexity: "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
    group: Group::SortedSet,
    arity: -3,
    flags: Flags::READONLY.and(Flags::MOVABLEKEYS),
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[KeySpec {
        notes: "",
        access: Access::Read,
        flags: &["RO", "access"],
        begin: Begin::Index(1),
        find: Find::Count { number: 0, first: 1, step: 1 },
    }],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        plain_arg("numkeys", ArgKind::Integer),
        ArgDoc { multiple: true, ..KEY },
        ArgDoc { token: "WEIGHTS", optional: true, multiple: true, ..plain_arg("weight", ArgKind::Integer) },
        ArgDoc {
            token: "AGGREGATE",
            optional: true,
            arguments: &[word_arg("sum", "SUM"), word_arg("min", "MIN"), word_arg("max", "MAX")],
            ..plain_arg("aggregate", ArgKind::OneOf)
        },
        ArgDoc { optional: true, ..token("WITHSCORES", "", "withscores", ArgKind::PureToken) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(zinter, bulk::of_smallest::<0>),
};

/// ZINTERCARD.
pub static ZINTERCARD: Spec = Spec {
    name: "zintercard",
    summary: "Answers how many members several sorted sets have in common.",
    since: "7.0.0",
    complexity: "O(N*K) worst case with N being the smallest input sorted set, K being the number of input sorted sets.",
    group: Group::SortedSet,
    arity: -3,
    flags: Flags::READONLY.and(Flags::MOVABLEKEYS),
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[KeySpec {
        notes: "",
        access: Access::Read,
        flags: &["RO", "access"],
        begin: Begin::Index(1),
        find: Find::Count { number: 0, first: 1, step: 1 },
    }],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        plain_arg("numkeys", ArgKind::Integer),
        ArgDoc { multiple: true, ..KEY },
        ArgDoc { optional: true, ..token("LIMIT", "", "limit", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(zintercard, bulk::of_smallest::<0>),
};

/// ZINTERSTORE.
pub static ZINTERSTORE: Spec = Spec {
    name: "zinterstore",
    summary: "Stores the members that all of several sorted sets have in common.",
    since: "2.0.0",
    complexity: "O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.",
    group: Group::SortedSet,
    arity: -4,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
    acl: Acl::WRITE.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[
        one_key(Access::Write, &["OW", "update"]),
        KeySpec {
            notes: "",
            access: Access::Read,
            flags: &["RO", "access"],
            begin: Begin::Index(2),
            find: Find::Count { number: 0, first: 1, step: 1 },
        },
    ],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        key_arg("destination", 0),
        plain_arg("numkeys", ArgKind::Integer),
        ArgDoc { multiple: true, ..key_arg("key", 1) },
        ArgDoc { token: "WEIGHTS", optional: true, multiple: true, ..plain_arg("weight", ArgKind::Integer) },
        ArgDoc {
            token: "AGGREGATE",
            optional: true,
            arguments: &[word_arg("sum", "SUM"), word_arg("min", "MIN"), word_arg("max", "MAX")],
            ..plain_arg("aggregate", ArgKind::OneOf)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(zinterstore, bulk::of_smallest::<1>),
};

fn zinter(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    answer(cx, args, out, Operation::Inter, "zinter")
}

fn zinterstore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    store(cx, args, out, Operation::Inter, "zinterstore")
}

fn zintercard(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let keys = number_of_keys(args, 1, "zintercard")?;
    touch(cx, args, 0, keys)?;
    let options = args.from(2 + keys);
    let mut limit = 0;
    for at in (0..options.len()).step_by(2) {
        let value = options.opt(at + 1).filter(|_| is_word(options.slice(at), "LIMIT")).ok_or(Fault::Syntax)?;
        let number = parse_i64(value).and_then(|limit| usize::try_from(limit).ok());
        limit = number.ok_or(Fault::say("ERR LIMIT can't be negative"))?;
    }
    let hasher = cx.tools().hasher;
    let mut inputs: Vec<_> = sources(cx, args, 0, keys)?.into_iter().map(|source| (source, 1.0)).collect();
    inputs.sort_by_key(|(source, _)| source.len());
    let visited = inputs.first().map_or(0, |(source, _)| source.len()) * inputs.len();
    let mut count = 0;
    intersect(&inputs, Aggregate::Sum, &hasher, |_, _| {
        count += 1;
        count != limit
    });
    out.int(count as i64);
    cx.work(visited.saturating_sub(1) as u64);
    Ok(())
}
