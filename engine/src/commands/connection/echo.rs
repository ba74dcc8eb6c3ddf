//! ECHO.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static ECHO: Spec = Spec {
    name: "echo",
    summary: "Sends a text back.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 2,
    flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
    acl: Acl::FAST.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[plain_arg("message", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
