//! PING.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static PING: Spec = Spec {
    name: "ping",
    summary: "Answers, to show that the connection works.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: -1,
    flags: Flags::FAST,
    acl: Acl::FAST.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arguments: &[ArgDoc { optional: true, ..plain_arg("message", ArgKind::String) }],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
