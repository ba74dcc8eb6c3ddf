//! DEBUG ERROR, HELP, LOG, PROTOCOL and SLEEP. The proxy answers them.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static HELP: Spec = Spec {
    name: "debug|help",
    summary: "Lists the subcommands of DEBUG.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 2,
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

pub static SLEEP: Spec = Spec {
    name: "debug|sleep",
    summary: "Answers after so many seconds; other clients are served meanwhile.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[plain_arg("seconds", ArgKind::Double)],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static ERROR: Spec = Spec {
    name: "debug|error",
    summary: "Answers an error with these words.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[plain_arg("message", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static LOG: Spec = Spec {
    name: "debug|log",
    summary: "Writes a message to the server's log.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[plain_arg("message", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static PROTOCOL: Spec = Spec {
    name: "debug|protocol",
    summary: "Answers a value of this type.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[plain_arg("type", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
