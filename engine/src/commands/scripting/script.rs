//! SCRIPT.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

pub static SCRIPT: Spec = Spec {
    name: "script",
    summary: "What is about scripts.",
    since: "2.6.0",
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

pub static DEBUG: Spec = Spec {
    name: "script|debug",
    summary: "Takes the mode of debugging, and debugs nothing.",
    since: "3.2.0",
    complexity: "O(1)",
    group: Group::Scripting,
    arity: -3,
    flags: Flags::NOSCRIPT,
    acl: Acl::SLOW.and(Acl::SCRIPTING),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[
        ArgDoc {
            arguments: &[
                ArgDoc { token: "YES", ..plain_arg("yes", ArgKind::PureToken) },
                ArgDoc { token: "SYNC", ..plain_arg("sync", ArgKind::PureToken) },
                ArgDoc { token: "NO", ..plain_arg("no", ArgKind::PureToken) },
            ],
            ..plain_arg("mode", ArgKind::OneOf)
        },
        ArgDoc { since: "9.1.0", optional: true, ..plain_arg("engine", ArgKind::String) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static EXISTS: Spec = Spec {
    name: "script|exists",
    summary: "Tells which scripts are known.",
    since: "2.6.0",
    complexity: "O(N) with N being the number of scripts to check (so checking a single script is an O(1) operation).",
    group: Group::Scripting,
    arity: -3,
    flags: Flags::NOSCRIPT.and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::SCRIPTING),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_shards", "response_policy:agg_logical_and"],
    arguments: &[ArgDoc { multiple: true, ..plain_arg("sha1", ArgKind::String) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static FLUSH: Spec = Spec {
    name: "script|flush",
    summary: "Forgets all scripts.",
    since: "2.6.0",
    complexity: "O(N) with N being the number of scripts in cache",
    group: Group::Scripting,
    arity: -2,
    flags: Flags::NOSCRIPT.and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::SCRIPTING),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[ArgDoc {
        since: "6.2.0",
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
    name: "script|help",
    summary: "Lists the subcommands of SCRIPT.",
    since: "5.0.0",
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
    name: "script|kill",
    summary: "Ends the script that runs.",
    since: "2.6.0",
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

pub static LOAD: Spec = Spec {
    name: "script|load",
    summary: "Keeps a script without running it.",
    since: "2.6.0",
    complexity: "O(N) with N being the length in bytes of the script body.",
    group: Group::Scripting,
    arity: 3,
    flags: Flags::NOSCRIPT.and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::SCRIPTING),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[plain_arg("script", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static SHOW: Spec = Spec {
    name: "script|show",
    summary: "Tells the body of a known script.",
    since: "8.0.0",
    complexity: "O(1).",
    group: Group::Scripting,
    arity: 3,
    flags: Flags::NOSCRIPT.and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::SCRIPTING),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[plain_arg("sha1", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
