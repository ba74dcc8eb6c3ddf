//! QUIT.

use crate::spec::*;

pub static QUIT: Spec = Spec {
    name: "quit",
    summary: "Ends the connection after its last reply.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: -1,
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
