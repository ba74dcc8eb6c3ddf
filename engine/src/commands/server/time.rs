//! TIME. The proxy answers it.

use crate::spec::*;

pub static TIME: Spec = Spec {
    name: "time",
    summary: "Tells the server's time.",
    since: "2.6.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 1,
    flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
    acl: Acl::FAST,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
