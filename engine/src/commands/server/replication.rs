//! ROLE, REPLICAOF, FAILOVER, PSYNC and the like: what concerns replicas, of which there are none. The proxy answers them.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static FAILOVER: Spec = Spec {
    name: "failover",
    summary: "Refused: there are no replicas.",
    since: "6.2.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: -1,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[
        ArgDoc {
            token: "TO",
            optional: true,
            arguments: &[
                plain_arg("host", ArgKind::String),
                plain_arg("port", ArgKind::Integer),
                ArgDoc { token: "FORCE", optional: true, ..plain_arg("force", ArgKind::PureToken) },
            ],
            ..plain_arg("target", ArgKind::Block)
        },
        ArgDoc { token: "ABORT", optional: true, ..plain_arg("abort", ArgKind::PureToken) },
        ArgDoc { token: "TIMEOUT", optional: true, ..plain_arg("milliseconds", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static PSYNC: Spec = Spec {
    name: "psync",
    summary: "Refused: there is no replication stream.",
    since: "2.8.0",
    complexity: "",
    group: Group::Server,
    arity: -3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING).and(Flags::NO_MULTI),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[plain_arg("replicationid", ArgKind::String), plain_arg("offset", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static REPLCONF: Spec = Spec {
    name: "replconf",
    summary: "Refused: there is no replication stream.",
    since: "3.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: -1,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE).and(Flags::ALLOW_BUSY),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static REPLICAOF: Spec = Spec {
    name: "replicaof",
    summary: "Accepts NO ONE; there is no replication from a primary.",
    since: "5.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[ArgDoc {
        arguments: &[
            ArgDoc {
                arguments: &[plain_arg("host", ArgKind::String), plain_arg("port", ArgKind::Integer)],
                ..plain_arg("host-port", ArgKind::Block)
            },
            ArgDoc {
                arguments: &[
                    ArgDoc { token: "NO", ..plain_arg("no", ArgKind::PureToken) },
                    ArgDoc { token: "ONE", ..plain_arg("one", ArgKind::PureToken) },
                ],
                ..plain_arg("no-one", ArgKind::Block)
            },
        ],
        ..plain_arg("args", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static ROLE: Spec = Spec {
    name: "role",
    summary: "Says what the server is in a replication: a primary without replicas.",
    since: "2.8.12",
    complexity: "O(1)",
    group: Group::Server,
    arity: 1,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST),
    acl: Acl::ADMIN.and(Acl::FAST).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static SLAVEOF: Spec = Spec {
    name: "slaveof",
    summary: "Accepts NO ONE; there is no replication from a primary.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::STALE).and(Flags::NO_ASYNC_LOADING),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[ArgDoc {
        arguments: &[
            ArgDoc {
                arguments: &[plain_arg("host", ArgKind::String), plain_arg("port", ArgKind::Integer)],
                ..plain_arg("host-port", ArgKind::Block)
            },
            ArgDoc {
                arguments: &[
                    ArgDoc { token: "NO", ..plain_arg("no", ArgKind::PureToken) },
                    ArgDoc { token: "ONE", ..plain_arg("one", ArgKind::PureToken) },
                ],
                ..plain_arg("no-one", ArgKind::Block)
            },
        ],
        ..plain_arg("args", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static SYNC: Spec = Spec {
    name: "sync",
    summary: "Refused: there is no replication stream.",
    since: "1.0.0",
    complexity: "",
    group: Group::Server,
    arity: 1,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING).and(Flags::NO_MULTI),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
