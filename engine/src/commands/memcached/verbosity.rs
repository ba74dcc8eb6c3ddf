//! verbosity: how much the server logs.

use super::doc::LEVEL;
use crate::spec::*;

pub(super) static VERBOSITY: Spec = Spec {
    name: "verbosity",
    summary: "Sets how much the server logs; accepted and without effect.",
    since: "1.2.0",
    complexity: "O(1)",
    group: Group::Memcached,
    arity: -2,
    flags: Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::DANGEROUS,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: LEVEL,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
