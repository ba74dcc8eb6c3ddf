//! SLOWLOG and its subcommands: what ran slowly. The proxy answers them.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static SLOWLOG: Spec = Spec {
    name: "slowlog",
    summary: "Container for commands about slow commands.",
    since: "2.2.12",
    complexity: "Depends on subcommand.",
    group: Group::Server,
    arity: -2,
    flags: Flags::NONE,
    acl: Acl::SLOW,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Container,
};

pub static GET: Spec = Spec {
    name: "slowlog|get",
    summary: "Shows the commands that were slow, the newest first.",
    since: "2.2.12",
    complexity: "O(N) where N is the number of entries returned",
    group: Group::Server,
    arity: -2,
    flags: Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_nodes", "nondeterministic_output"],
    arguments: &[ArgDoc { optional: true, ..plain_arg("count", ArgKind::Integer) }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static HELP: Spec = Spec {
    name: "slowlog|help",
    summary: "Lists the subcommands of SLOWLOG.",
    since: "6.2.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 2,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::SLOW,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static LEN: Spec = Spec {
    name: "slowlog|len",
    summary: "Counts the slow commands that are remembered.",
    since: "2.2.12",
    complexity: "O(1)",
    group: Group::Server,
    arity: 2,
    flags: Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static RESET: Spec = Spec {
    name: "slowlog|reset",
    summary: "Forgets the slow commands.",
    since: "2.2.12",
    complexity: "O(N) where N is the number of entries in the slowlog",
    group: Group::Server,
    arity: 2,
    flags: Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
