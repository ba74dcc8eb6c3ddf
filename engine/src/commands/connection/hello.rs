//! HELLO.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static HELLO: Spec = Spec {
    name: "hello",
    summary: "Agrees on the protocol version and introduces both sides.",
    since: "6.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: -1,
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
    arguments: &[ArgDoc {
        optional: true,
        arguments: &[
            plain_arg("protover", ArgKind::Integer),
            ArgDoc {
                token: "AUTH",
                optional: true,
                arguments: &[plain_arg("username", ArgKind::String), plain_arg("password", ArgKind::String)],
                ..plain_arg("auth", ArgKind::Block)
            },
            ArgDoc { token: "SETNAME", optional: true, ..plain_arg("clientname", ArgKind::String) },
        ],
        ..plain_arg("arguments", ArgKind::Block)
    }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
