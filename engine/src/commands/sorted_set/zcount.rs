//! ZCOUNT and ZLEXCOUNT: how many members lie in a range.

use swell_wire::{Args, Out};

use super::{lex_range, score_range};
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::zset::ZSet;

/// ZCOUNT.
pub static ZCOUNT: Spec = Spec {
    name: "zcount",
    summary: "Answers how many members of a sorted set have a score in a range.",
    since: "2.0.0",
    complexity: "O(log(N)) with N being the number of elements in the sorted set.",
    group: Group::SortedSet,
    arity: 4,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("min", ArgKind::Double), plain_arg("max", ArgKind::Double)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(zcount),
};

/// ZLEXCOUNT.
pub static ZLEXCOUNT: Spec = Spec {
    name: "zlexcount",
    summary: "Answers how many members of a sorted set lie between two names.",
    since: "2.8.9",
    complexity: "O(log(N)) with N being the number of elements in the sorted set.",
    group: Group::SortedSet,
    arity: 4,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("min", ArgKind::String), plain_arg("max", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(zlexcount),
};

fn zcount(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let range = score_range(args.slice(2), args.slice(3))?;
    let count = match cx.read(cx.key(args, 0)) {
        Some(entry) => entry.collection::<ZSet>()?.score_range(&range).len(),
        None => 0,
    };
    out.int(count as i64);
    Ok(())
}

fn zlexcount(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let range = lex_range(args.slice(2), args.slice(3))?;
    let count = match cx.read(cx.key(args, 0)) {
        Some(entry) => entry.collection::<ZSet>()?.lex_range(&range, false).len(),
        None => 0,
    };
    out.int(count as i64);
    Ok(())
}
