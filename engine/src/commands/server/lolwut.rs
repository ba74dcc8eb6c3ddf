//! LOLWUT. The proxy answers it.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static LOLWUT: Spec = Spec {
    name: "lolwut",
    summary: "Draws something, and tells the version.",
    since: "5.0.0",
    complexity: "",
    group: Group::Server,
    arity: -1,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::FAST),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[ArgDoc { token: "VERSION", optional: true, ..plain_arg("version", ArgKind::Integer) }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
