//! SELECT.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static SELECT: Spec = Spec {
    name: "select",
    summary: "Goes to another database.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 2,
    flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST).and(Flags::ALLOW_BUSY),
    acl: Acl::FAST.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[plain_arg("index", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
