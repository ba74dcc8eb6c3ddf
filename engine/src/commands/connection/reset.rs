//! RESET.

use crate::spec::*;

pub static RESET: Spec = Spec {
    name: "reset",
    summary: "Takes the connection back to how it began.",
    since: "6.2.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 1,
    flags: Flags::NOSCRIPT
        .and(Flags::LOADING)
        .and(Flags::STALE)
        .and(Flags::FAST)
        .and(Flags::NO_AUTH)
        .and(Flags::ALLOW_BUSY),
    acl: Acl::FAST.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
