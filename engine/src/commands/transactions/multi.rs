//! MULTI, EXEC, DISCARD.

use crate::spec::*;

pub static DISCARD: Spec = Spec {
    name: "discard",
    summary: "Drops what a transaction has queued.",
    since: "2.0.0",
    complexity: "O(N), when N is the number of queued commands",
    group: Group::Transactions,
    arity: 1,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST).and(Flags::ALLOW_BUSY),
    acl: Acl::FAST.and(Acl::TRANSACTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static EXEC: Spec = Spec {
    name: "exec",
    summary: "Runs what a transaction has queued, as one.",
    since: "1.2.0",
    complexity: "Depends on commands in the transaction",
    group: Group::Transactions,
    arity: 1,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::SKIP_SLOWLOG),
    acl: Acl::SLOW.and(Acl::TRANSACTION),
    keys: &[],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static MULTI: Spec = Spec {
    name: "multi",
    summary: "Begins a transaction: what follows is queued.",
    since: "1.2.0",
    complexity: "O(1)",
    group: Group::Transactions,
    arity: 1,
    flags: Flags::NOSCRIPT
        .and(Flags::LOADING)
        .and(Flags::STALE)
        .and(Flags::FAST)
        .and(Flags::NO_MULTI)
        .and(Flags::ALLOW_BUSY),
    acl: Acl::FAST.and(Acl::TRANSACTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
