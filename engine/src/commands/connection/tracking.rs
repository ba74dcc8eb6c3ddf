//! CLIENT TRACKING, CLIENT CACHING, CLIENT TRACKINGINFO, CLIENT GETREDIR.

use crate::commands::grammar::{plain_arg, token, word_arg};
use crate::spec::*;

/// Flags of those that look at the connection only.
const QUICK: Flags = Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::ALLOW_BUSY);

pub static CACHING: Spec = Spec {
    name: "client|caching",
    summary: "Says whether copies of what the next command reads are kept.",
    since: "6.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 3,
    flags: QUICK,
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[ArgDoc {
        arguments: &[word_arg("yes", "YES"), word_arg("no", "NO")],
        ..plain_arg("mode", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static GETREDIR: Spec = Spec {
    name: "client|getredir",
    summary: "Reads the number of the connection that is told what is stale in this one's place.",
    since: "6.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 2,
    flags: QUICK,
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static TRACKING: Spec = Spec {
    name: "client|tracking",
    summary: "Has the connection told when keys change of which it keeps copies.",
    since: "6.0.0",
    complexity: "O(1). Some options may introduce additional complexity.",
    group: Group::Connection,
    arity: -3,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[
        ArgDoc { arguments: &[word_arg("on", "ON"), word_arg("off", "OFF")], ..plain_arg("status", ArgKind::OneOf) },
        ArgDoc { optional: true, ..token("REDIRECT", "", "client-id", ArgKind::Integer) },
        ArgDoc {
            optional: true,
            multiple: true,
            multiple_token: true,
            ..token("PREFIX", "", "prefix", ArgKind::String)
        },
        ArgDoc { optional: true, ..word_arg("bcast", "BCAST") },
        ArgDoc { optional: true, ..word_arg("optin", "OPTIN") },
        ArgDoc { optional: true, ..word_arg("optout", "OPTOUT") },
        ArgDoc { optional: true, ..word_arg("noloop", "NOLOOP") },
    ],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static TRACKINGINFO: Spec = Spec {
    name: "client|trackinginfo",
    summary: "Shows how the connection is told what is stale.",
    since: "6.2.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 2,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
