//! quit: the connection is closed.

use crate::spec::*;

pub(super) static QUIT: Spec = Spec {
    name: "quit",
    summary: "Closes the connection.",
    since: "1.0",
    complexity: "O(1)",
    group: Group::Memcached,
    arity: -1,
    flags: Flags::FAST.and(Flags::LOADING).and(Flags::STALE).and(Flags::NO_AUTH),
    acl: Acl::CONNECTION,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
