//! WAIT and WAITAOF. The proxy answers them: nothing here has replicas yet, or an append-only file.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

/// WAIT.
pub static WAIT: Spec = Spec {
    name: "wait",
    summary: "Waits until so many replicas have this connection's writes, and answers how many have.",
    since: "3.0.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 3,
    flags: Flags::BLOCKING,
    acl: Acl::SLOW.and(Acl::BLOCKING).and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    arguments: &[plain_arg("numreplicas", ArgKind::Integer), plain_arg("timeout", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

/// WAITAOF.
pub static WAITAOF: Spec = Spec {
    name: "waitaof",
    summary: "Waits until this connection's writes are in append-only files, here and at replicas, and answers in how many.",
    since: "7.2.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 4,
    flags: Flags::BLOCKING,
    acl: Acl::SLOW.and(Acl::BLOCKING).and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    arguments: &[
        plain_arg("numlocal", ArgKind::Integer),
        plain_arg("numreplicas", ArgKind::Integer),
        plain_arg("timeout", ArgKind::Integer),
    ],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
