//! LASTSAVE, SAVE, BGSAVE, BGREWRITEAOF, SHUTDOWN: what concerns disks and the end. The proxy answers them.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static BGREWRITEAOF: Spec = Spec {
    name: "bgrewriteaof",
    summary: "Refused: there is no append-only file.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 1,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static BGSAVE: Spec = Spec {
    name: "bgsave",
    summary: "Refused: nothing is kept on disk.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: -1,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[ArgDoc {
        optional: true,
        arguments: &[
            ArgDoc { token: "SCHEDULE", since: "3.2.2", ..plain_arg("schedule", ArgKind::PureToken) },
            ArgDoc { token: "CANCEL", since: "8.1.0", ..plain_arg("cancel", ArgKind::PureToken) },
        ],
        ..plain_arg("operation", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static LASTSAVE: Spec = Spec {
    name: "lastsave",
    summary: "Tells when the data were last saved: at the start, as nothing is.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 1,
    flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
    acl: Acl::ADMIN.and(Acl::FAST).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static SAVE: Spec = Spec {
    name: "save",
    summary: "Refused: nothing is kept on disk.",
    since: "1.0.0",
    complexity: "O(N) where N is the total number of keys in all databases",
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

pub static SHUTDOWN: Spec = Spec {
    name: "shutdown",
    summary: "Ends this process as a signal does.",
    since: "1.0.0",
    complexity: "O(N) when saving, where N is the total number of keys in all databases when saving data, otherwise O(1)",
    group: Group::Server,
    arity: -1,
    flags: Flags::ADMIN
        .and(Flags::NOSCRIPT)
        .and(Flags::LOADING)
        .and(Flags::STALE)
        .and(Flags::NO_MULTI)
        .and(Flags::ALLOW_BUSY),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[ArgDoc {
        optional: true,
        arguments: &[
            ArgDoc {
                arguments: &[
                    ArgDoc {
                        optional: true,
                        arguments: &[
                            ArgDoc { token: "NOSAVE", ..plain_arg("nosave", ArgKind::PureToken) },
                            ArgDoc { token: "SAVE", ..plain_arg("save", ArgKind::PureToken) },
                        ],
                        ..plain_arg("save-selector", ArgKind::OneOf)
                    },
                    ArgDoc { token: "NOW", since: "7.0.0", optional: true, ..plain_arg("now", ArgKind::PureToken) },
                    ArgDoc { token: "FORCE", since: "7.0.0", optional: true, ..plain_arg("force", ArgKind::PureToken) },
                    ArgDoc { token: "SAFE", since: "9.0.0", optional: true, ..plain_arg("safe", ArgKind::PureToken) },
                    ArgDoc {
                        token: "FAILOVER",
                        since: "9.0.0",
                        optional: true,
                        ..plain_arg("failover", ArgKind::PureToken)
                    },
                ],
                ..plain_arg("save-selector-block", ArgKind::Block)
            },
            ArgDoc { token: "ABORT", since: "7.0.0", ..plain_arg("abort", ArgKind::PureToken) },
        ],
        ..plain_arg("abort-selector", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
