//! INFO. The proxy answers it.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static INFO: Spec = Spec {
    name: "info",
    summary: "Reports figures about the server, by section.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: -1,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    arguments: &[ArgDoc { optional: true, multiple: true, ..plain_arg("section", ArgKind::String) }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
