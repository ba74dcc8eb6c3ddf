//! WATCH, UNWATCH.

use crate::commands::grammar::key_arg;
use crate::spec::*;

pub static UNWATCH: Spec = Spec {
    name: "unwatch",
    summary: "Forgets the keys that the connection watches.",
    since: "2.2.0",
    complexity: "O(1)",
    group: Group::Transactions,
    arity: 1,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST).and(Flags::ALLOW_BUSY),
    acl: Acl::FAST.and(Acl::TRANSACTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static WATCH: Spec = Spec {
    name: "watch",
    summary: "Makes the next transaction fail if one of these keys changes before it runs.",
    since: "2.2.0",
    complexity: "O(1) for every key.",
    group: Group::Transactions,
    arity: -2,
    flags: Flags::NOSCRIPT
        .and(Flags::LOADING)
        .and(Flags::STALE)
        .and(Flags::FAST)
        .and(Flags::NO_MULTI)
        .and(Flags::ALLOW_BUSY),
    acl: Acl::FAST.and(Acl::TRANSACTION),
    keys: &[KeySpec {
        notes: "",
        access: Access::Read,
        flags: &["RO"],
        begin: Begin::Index(1),
        find: Find::Range { last: -1, step: 1 },
    }],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[ArgDoc { multiple: true, ..key_arg("key", 0) }],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Session,
};
