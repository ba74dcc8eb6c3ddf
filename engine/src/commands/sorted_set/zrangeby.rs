//! ZRANGEBYSCORE, ZRANGEBYLEX and their reverses: the older names of what ZRANGE does.

use swell_wire::{Args, Out};

use super::zrange::{By, Fixed, answer};
use crate::commands::grammar::{KEY, one_key, plain_arg, token};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// ZRANGEBYLEX.
pub static ZRANGEBYLEX: Spec = Spec {
    name: "zrangebylex",
    summary: "Answers the members of a sorted set between two names.",
    since: "2.8.9",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
    group: Group::SortedSet,
    arity: -4,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("min", ArgKind::String),
        plain_arg("max", ArgKind::String),
        ArgDoc {
            token: "LIMIT",
            optional: true,
            arguments: &[plain_arg("offset", ArgKind::Integer), plain_arg("count", ArgKind::Integer)],
            ..plain_arg("limit", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(zrangebylex),
};

/// ZRANGEBYSCORE.
pub static ZRANGEBYSCORE: Spec = Spec {
    name: "zrangebyscore",
    summary: "Answers the members of a sorted set with scores in a range.",
    since: "1.0.5",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
    group: Group::SortedSet,
    arity: -4,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("min", ArgKind::Double),
        plain_arg("max", ArgKind::Double),
        ArgDoc { optional: true, ..token("WITHSCORES", "2.0.0", "withscores", ArgKind::PureToken) },
        ArgDoc {
            token: "LIMIT",
            optional: true,
            arguments: &[plain_arg("offset", ArgKind::Integer), plain_arg("count", ArgKind::Integer)],
            ..plain_arg("limit", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(zrangebyscore),
};

/// ZREVRANGEBYLEX.
pub static ZREVRANGEBYLEX: Spec = Spec {
    name: "zrevrangebylex",
    summary: "Answers the members of a sorted set between two names, from the last down.",
    since: "2.8.9",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
    group: Group::SortedSet,
    arity: -4,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("max", ArgKind::String),
        plain_arg("min", ArgKind::String),
        ArgDoc {
            token: "LIMIT",
            optional: true,
            arguments: &[plain_arg("offset", ArgKind::Integer), plain_arg("count", ArgKind::Integer)],
            ..plain_arg("limit", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(zrevrangebylex),
};

/// ZREVRANGEBYSCORE.
pub static ZREVRANGEBYSCORE: Spec = Spec {
    name: "zrevrangebyscore",
    summary: "Answers the members of a sorted set with scores in a range, from the highest down.",
    since: "2.2.0",
    complexity: "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).",
    group: Group::SortedSet,
    arity: -4,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("max", ArgKind::Double),
        plain_arg("min", ArgKind::Double),
        ArgDoc { optional: true, ..token("WITHSCORES", "", "withscores", ArgKind::PureToken) },
        ArgDoc {
            token: "LIMIT",
            optional: true,
            arguments: &[plain_arg("offset", ArgKind::Integer), plain_arg("count", ArgKind::Integer)],
            ..plain_arg("limit", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(zrevrangebyscore),
};

fn zrangebylex(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    answer(cx, args, out, fixed(By::Lex, false))
}

fn zrangebyscore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    answer(cx, args, out, fixed(By::Score, false))
}

fn zrevrangebylex(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    answer(cx, args, out, fixed(By::Lex, true))
}

fn zrevrangebyscore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    answer(cx, args, out, fixed(By::Score, true))
}

fn fixed(by: By, back: bool) -> Fixed {
    Fixed { at: 2, by: Some(by), back: Some(back), stores: false }
}
