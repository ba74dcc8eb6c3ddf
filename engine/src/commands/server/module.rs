//! MODULE and its subcommands: there are no modules. The proxy answers them.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static MODULE: Spec = Spec {
    name: "module",
    summary: "Container for commands about modules.",
    since: "4.0.0",
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

pub static HELP: Spec = Spec {
    name: "module|help",
    summary: "Lists the subcommands of MODULE.",
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

pub static LIST: Spec = Spec {
    name: "module|list",
    summary: "Lists the modules: none.",
    since: "4.0.0",
    complexity: "O(N) where N is the number of loaded modules.",
    group: Group::Server,
    arity: 2,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output_order"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static LOAD: Spec = Spec {
    name: "module|load",
    summary: "Refused: there are no modules.",
    since: "4.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: -3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[
        plain_arg("path", ArgKind::String),
        ArgDoc { optional: true, multiple: true, ..plain_arg("arg", ArgKind::String) },
    ],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static LOADEX: Spec = Spec {
    name: "module|loadex",
    summary: "Refused: there are no modules.",
    since: "7.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: -3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[
        plain_arg("path", ArgKind::String),
        ArgDoc {
            token: "CONFIG",
            optional: true,
            multiple: true,
            multiple_token: true,
            arguments: &[plain_arg("name", ArgKind::String), plain_arg("value", ArgKind::String)],
            ..plain_arg("configs", ArgKind::Block)
        },
        ArgDoc { token: "ARGS", optional: true, multiple: true, ..plain_arg("args", ArgKind::String) },
    ],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static UNLOAD: Spec = Spec {
    name: "module|unload",
    summary: "Refused: there are no modules.",
    since: "4.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::NO_ASYNC_LOADING),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[plain_arg("name", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
