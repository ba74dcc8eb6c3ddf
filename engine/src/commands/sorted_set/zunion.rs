//! ZUNION and ZUNIONSTORE.

use swell_wire::{Args, Out};

use super::aggregate::{Operation, answer, store};
use crate::bulk;
use crate::commands::grammar::{KEY, key_arg, one_key, plain_arg, token, word_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// ZUNION.
pub static ZUNION: Spec = Spec {
    name: "zunion",
    summary: "Answers the members that any of several sorted sets has.",
    since: "6.2.0",
    complexity: "O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
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
    body: Body::bulk(zunion, bulk::of_all::<0>),
};

/// ZUNIONSTORE.
pub static ZUNIONSTORE: Spec = Spec {
    name: "zunionstore",
    summary: "Stores the members that any of several sorted sets has.",
    since: "2.0.0",
    complexity: "O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.",
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
    body: Body::bulk(zunionstore, bulk::of_all::<1>),
};

fn zunion(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    answer(cx, args, out, Operation::Union, "zunion")
}

fn zunionstore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    store(cx, args, out, Operation::Union, "zunionstore")
}
