//! COMMANDLOG and its subcommands: what was slow or large. The proxy answers them.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static COMMANDLOG: Spec = Spec {
    name: "commandlog",
    summary: "Container for commands about slow and large commands.",
    since: "8.1.0",
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
    name: "commandlog|get",
    summary: "Shows the commands that were slow or large, the newest first.",
    since: "8.1.0",
    complexity: "O(N) where N is the number of entries returned",
    group: Group::Server,
    arity: 4,
    flags: Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_nodes", "nondeterministic_output"],
    arguments: &[
        plain_arg("count", ArgKind::Integer),
        ArgDoc {
            arguments: &[
                ArgDoc { token: "SLOW", ..plain_arg("slow", ArgKind::PureToken) },
                ArgDoc { token: "LARGE-REQUEST", ..plain_arg("large-request", ArgKind::PureToken) },
                ArgDoc { token: "LARGE-REPLY", ..plain_arg("large-reply", ArgKind::PureToken) },
            ],
            ..plain_arg("type", ArgKind::OneOf)
        },
    ],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static HELP: Spec = Spec {
    name: "commandlog|help",
    summary: "Lists the subcommands of COMMANDLOG.",
    since: "8.1.0",
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
    name: "commandlog|len",
    summary: "Counts the commands that one of the logs remembers.",
    since: "8.1.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 3,
    flags: Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
    arguments: &[ArgDoc {
        arguments: &[
            ArgDoc { token: "SLOW", ..plain_arg("slow", ArgKind::PureToken) },
            ArgDoc { token: "LARGE-REQUEST", ..plain_arg("large-request", ArgKind::PureToken) },
            ArgDoc { token: "LARGE-REPLY", ..plain_arg("large-reply", ArgKind::PureToken) },
        ],
        ..plain_arg("type", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static RESET: Spec = Spec {
    name: "commandlog|reset",
    summary: "Forgets what one of the logs remembers.",
    since: "8.1.0",
    complexity: "O(N) where N is the number of entries in the commandlog",
    group: Group::Server,
    arity: 3,
    flags: Flags::ADMIN.and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[ArgDoc {
        arguments: &[
            ArgDoc { token: "SLOW", ..plain_arg("slow", ArgKind::PureToken) },
            ArgDoc { token: "LARGE-REQUEST", ..plain_arg("large-request", ArgKind::PureToken) },
            ArgDoc { token: "LARGE-REPLY", ..plain_arg("large-reply", ArgKind::PureToken) },
        ],
        ..plain_arg("type", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Free, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
