//! version: which server this is.

use crate::spec::*;

pub(super) static VERSION: Spec = Spec {
    name: "version",
    summary: "Returns the server's version.",
    since: "1.0",
    complexity: "O(1)",
    group: Group::Memcached,
    arity: -1,
    flags: Flags::FAST.and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::CONNECTION,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
