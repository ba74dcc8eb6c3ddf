//! FUNCTION.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static FUNCTION: Spec = Spec {
    name: "function",
    summary: "What is about libraries of functions.",
    since: "7.0.0",
    complexity: "Depends on subcommand.",
    group: Group::Scripting,
    arity: -2,
    flags: Flags::NONE,
    acl: Acl::SLOW,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Container,
};

pub static DELETE: Spec = Spec {
    name: "function|delete",
    summary: "Deletes a library.",
    since: "7.0.0",
    complexity: "O(1)",
    group: Group::Scripting,
    arity: 3,
    flags: Flags::WRITE.and(Flags::NOSCRIPT),
    acl: Acl::WRITE.and(Acl::SLOW).and(Acl::SCRIPTING),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arguments: &[plain_arg("library-name", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static DUMP: Spec = Spec {
    name: "function|dump",
    summary: "Packs all libraries into one payload.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of functions",
    group: Group::Scripting,
    arity: 2,
    flags: Flags::NOSCRIPT,
    acl: Acl::SLOW.and(Acl::SCRIPTING),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static FLUSH: Spec = Spec {
    name: "function|flush",
    summary: "Deletes all libraries.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of functions deleted",
    group: Group::Scripting,
    arity: -2,
    flags: Flags::WRITE.and(Flags::NOSCRIPT),
    acl: Acl::WRITE.and(Acl::SLOW).and(Acl::SCRIPTING),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arguments: &[ArgDoc {
        optional: true,
        arguments: &[
            ArgDoc { token: "ASYNC", ..plain_arg("async", ArgKind::PureToken) },
            ArgDoc { token: "SYNC", ..plain_arg("sync", ArgKind::PureToken) },
        ],
        ..plain_arg("flush-type", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static HELP: Spec = Spec {
    name: "function|help",
    summary: "Lists the subcommands of FUNCTION.",
    since: "7.0.0",
    complexity: "O(1)",
    group: Group::Scripting,
    arity: 2,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::SCRIPTING),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static KILL: Spec = Spec {
    name: "function|kill",
    summary: "Ends the function that runs.",
    since: "7.0.0",
    complexity: "O(1)",
    group: Group::Scripting,
    arity: 2,
    flags: Flags::NOSCRIPT.and(Flags::ALLOW_BUSY),
    acl: Acl::SLOW.and(Acl::SCRIPTING),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_shards", "response_policy:one_succeeded"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static LIST: Spec = Spec {
    name: "function|list",
    summary: "Tells about libraries.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of functions",
    group: Group::Scripting,
    arity: -2,
    flags: Flags::NOSCRIPT,
    acl: Acl::SLOW.and(Acl::SCRIPTING),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output_order"],
    arguments: &[
        ArgDoc { token: "LIBRARYNAME", optional: true, ..plain_arg("library-name-pattern", ArgKind::String) },
        ArgDoc { token: "WITHCODE", optional: true, ..plain_arg("withcode", ArgKind::PureToken) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static LOAD: Spec = Spec {
    name: "function|load",
    summary: "Adds a library of functions.",
    since: "7.0.0",
    complexity: "O(1) (considering compilation time is redundant)",
    group: Group::Scripting,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::NOSCRIPT),
    acl: Acl::WRITE.and(Acl::SLOW).and(Acl::SCRIPTING),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arguments: &[
        ArgDoc { token: "REPLACE", optional: true, ..plain_arg("replace", ArgKind::PureToken) },
        plain_arg("function-code", ArgKind::String),
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static RESTORE: Spec = Spec {
    name: "function|restore",
    summary: "Adds libraries from such a payload.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of functions on the payload",
    group: Group::Scripting,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::NOSCRIPT),
    acl: Acl::WRITE.and(Acl::SLOW).and(Acl::SCRIPTING),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    arguments: &[
        plain_arg("serialized-value", ArgKind::String),
        ArgDoc {
            optional: true,
            arguments: &[
                ArgDoc { token: "FLUSH", ..plain_arg("flush", ArgKind::PureToken) },
                ArgDoc { token: "APPEND", ..plain_arg("append", ArgKind::PureToken) },
                ArgDoc { token: "REPLACE", ..plain_arg("replace", ArgKind::PureToken) },
            ],
            ..plain_arg("policy", ArgKind::OneOf)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static STATS: Spec = Spec {
    name: "function|stats",
    summary: "Tells which function runs, and how many there are.",
    since: "7.0.0",
    complexity: "O(1)",
    group: Group::Scripting,
    arity: 2,
    flags: Flags::NOSCRIPT.and(Flags::ALLOW_BUSY),
    acl: Acl::SLOW.and(Acl::SCRIPTING),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
