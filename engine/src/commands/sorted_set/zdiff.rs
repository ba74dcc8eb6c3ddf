//! ZDIFF and ZDIFFSTORE.

use swell_wire::{Args, Out};

use super::aggregate::{Operation, answer, store};
use crate::bulk;
use crate::commands::grammar::{KEY, key_arg, one_key, plain_arg, token};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// ZDIFF.
pub static ZDIFF: Spec = Spec {
    name: "zdiff",
    summary: "Answers the members of the first sorted set that are in none of the others.",
    since: "6.2.0",
    complexity: "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
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
        ArgDoc { optional: true, ..token("WITHSCORES", "", "withscores", ArgKind::PureToken) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(zdiff, bulk::of_first::<0>),
};

/// ZDIFFSTORE.
pub static ZDIFFSTORE: Spec = Spec {
    name: "zdiffstore",
    summary: "Stores the members of the first sorted set that are in none of the others.",
    since: "6.2.0",
    complexity: "O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.",
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
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(zdiffstore, bulk::of_first::<1>),
};

fn zdiff(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    answer(cx, args, out, Operation::Diff, "zdiff")
}

fn zdiffstore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    store(cx, args, out, Operation::Diff, "zdiffstore")
}
