//! MONITOR. The proxy answers it.

use crate::spec::*;

pub static MONITOR: Spec = Spec {
    name: "monitor",
    summary: "Shows every command that is served from now on.",
    since: "1.0.0",
    complexity: "",
    group: Group::Server,
    arity: 1,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
