//! CLIENT PAUSE, UNPAUSE, CAPA, IMPORT-SOURCE. The proxy answers them.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static CAPA: Spec = Spec {
    name: "client|capa",
    summary: "Notes what the client is capable of.",
    since: "8.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: -3,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::ALLOW_BUSY),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[ArgDoc { multiple: true, ..plain_arg("capability", ArgKind::String) }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static IMPORT_SOURCE: Spec = Spec {
    name: "client|import-source",
    summary: "Marks the connection as the source of an import.",
    since: "8.1.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 3,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[ArgDoc {
        arguments: &[
            ArgDoc { token: "ON", ..plain_arg("on", ArgKind::PureToken) },
            ArgDoc { token: "OFF", ..plain_arg("off", ArgKind::PureToken) },
        ],
        ..plain_arg("enabled", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static PAUSE: Spec = Spec {
    name: "client|pause",
    summary: "Holds commands of clients back for a while.",
    since: "3.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: -3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS).and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[
        plain_arg("timeout", ArgKind::Integer),
        ArgDoc {
            since: "6.2.0",
            optional: true,
            arguments: &[
                ArgDoc { token: "WRITE", ..plain_arg("write", ArgKind::PureToken) },
                ArgDoc { token: "ALL", ..plain_arg("all", ArgKind::PureToken) },
            ],
            ..plain_arg("mode", ArgKind::OneOf)
        },
    ],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static UNPAUSE: Spec = Spec {
    name: "client|unpause",
    summary: "Ends what CLIENT PAUSE has begun.",
    since: "6.2.0",
    complexity: "O(N) Where N is the number of paused clients",
    group: Group::Connection,
    arity: 2,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS).and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
