//! CONFIG and its subcommands: options that may be read and changed while running. The proxy answers them.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static CONFIG: Spec = Spec {
    name: "config",
    summary: "Container for commands about options.",
    since: "2.0.0",
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
    name: "config|get",
    summary: "Reads the options that match any of the patterns.",
    since: "2.0.0",
    complexity: "O(N) when N is the number of configuration parameters provided",
    group: Group::Server,
    arity: -3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[ArgDoc { multiple: true, ..plain_arg("parameter", ArgKind::String) }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static HELP: Spec = Spec {
    name: "config|help",
    summary: "Lists the subcommands of CONFIG.",
    since: "5.0.0",
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

pub static RESETSTAT: Spec = Spec {
    name: "config|resetstat",
    summary: "Sets the counters that INFO shows to zero; the bill is not touched.",
    since: "2.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 2,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static REWRITE: Spec = Spec {
    name: "config|rewrite",
    summary: "Writes the options to the configuration file; there is none that a server may rewrite.",
    since: "2.8.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 2,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static SET: Spec = Spec {
    name: "config|set",
    summary: "Changes options: all that are named, or none.",
    since: "2.0.0",
    complexity: "O(N) when N is the number of configuration parameters provided",
    group: Group::Server,
    arity: -4,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[ArgDoc {
        multiple: true,
        arguments: &[plain_arg("parameter", ArgKind::String), plain_arg("value", ArgKind::String)],
        ..plain_arg("data", ArgKind::Block)
    }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
