//! AUTH.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static AUTH: Spec = Spec {
    name: "auth",
    summary: "Gives the password.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of passwords defined for the user",
    group: Group::Connection,
    arity: -2,
    flags: Flags::NOSCRIPT
        .and(Flags::LOADING)
        .and(Flags::STALE)
        .and(Flags::FAST)
        .and(Flags::NO_AUTH)
        .and(Flags::ALLOW_BUSY),
    acl: Acl::FAST.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[
        ArgDoc { since: "6.0.0", optional: true, ..plain_arg("username", ArgKind::String) },
        plain_arg("password", ArgKind::String),
    ],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
