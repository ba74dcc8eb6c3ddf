//! MEMORY STATS, DOCTOR, PURGE, MALLOC-STATS: about all memory, not one key. The proxy answers them.

use crate::spec::*;

pub static DOCTOR: Spec = Spec {
    name: "memory|doctor",
    summary: "Says in words what is notable about memory.",
    since: "4.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 2,
    flags: Flags::NONE,
    acl: Acl::SLOW,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static MALLOC_STATS: Spec = Spec {
    name: "memory|malloc-stats",
    summary: "Shows what the heap of keys and values holds.",
    since: "4.0.0",
    complexity: "Depends on how much memory is allocated, could be slow",
    group: Group::Server,
    arity: 2,
    flags: Flags::LOADING,
    acl: Acl::SLOW,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static PURGE: Spec = Spec {
    name: "memory|purge",
    summary: "Gives memory that is not needed back to the system.",
    since: "4.0.0",
    complexity: "Depends on how much memory is allocated, could be slow",
    group: Group::Server,
    arity: 2,
    flags: Flags::LOADING,
    acl: Acl::SLOW,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static STATS: Spec = Spec {
    name: "memory|stats",
    summary: "Shows where memory goes.",
    since: "4.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 2,
    flags: Flags::NONE,
    acl: Acl::SLOW,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
