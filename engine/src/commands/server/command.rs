//! COMMAND and its subcommands: the table of commands, about itself. The proxy answers them.

use crate::commands::grammar::plain_arg;
use crate::spec::*;

const NAMES: &[ArgDoc] = &[ArgDoc { optional: true, multiple: true, ..plain_arg("command-name", ArgKind::String) }];
const FULL_COMMAND: &[ArgDoc] = &[
    plain_arg("command", ArgKind::String),
    ArgDoc { optional: true, multiple: true, ..plain_arg("arg", ArgKind::String) },
];
const FILTER: &[ArgDoc] = &[ArgDoc {
    token: "FILTERBY",
    optional: true,
    arguments: &[
        ArgDoc { token: "MODULE", ..plain_arg("module-name", ArgKind::String) },
        ArgDoc { token: "ACLCAT", ..plain_arg("category", ArgKind::String) },
        ArgDoc { token: "PATTERN", ..plain_arg("pattern", ArgKind::Pattern) },
    ],
    ..plain_arg("filterby", ArgKind::OneOf)
}];

/// A container that may also be called by itself: then it is COMMAND INFO about every command.
pub static COMMAND: Spec = Spec {
    name: "command",
    summary: "Describes every command.",
    since: "2.8.13",
    complexity: "O(N) where N is the total number of commands",
    group: Group::Server,
    arity: -1,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output_order"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Container,
};

pub static COUNT: Spec = Spec {
    name: "command|count",
    summary: "Counts the commands.",
    since: "2.8.13",
    complexity: "O(1)",
    group: Group::Server,
    arity: 2,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static DOCS: Spec = Spec {
    name: "command|docs",
    summary: "Documents the named commands, or all.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of commands to look up",
    group: Group::Server,
    arity: -2,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output_order"],
    arguments: NAMES,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static GETKEYS: Spec = Spec {
    name: "command|getkeys",
    summary: "Finds the keys in a command line.",
    since: "2.8.13",
    complexity: "O(N) where N is the number of arguments to the command",
    group: Group::Server,
    arity: -3,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: FULL_COMMAND,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static GETKEYSANDFLAGS: Spec = Spec {
    name: "command|getkeysandflags",
    summary: "Finds the keys in a command line, and says what would be done with each.",
    since: "7.0.0",
    complexity: "O(N) where N is the number of arguments to the command",
    group: Group::Server,
    arity: -3,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: FULL_COMMAND,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static HELP: Spec = Spec {
    name: "command|help",
    summary: "Lists the subcommands of COMMAND.",
    since: "5.0.0",
    complexity: "O(1)",
    group: Group::Server,
    arity: 2,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static INFO: Spec = Spec {
    name: "command|info",
    summary: "Describes the named commands, or all.",
    since: "2.8.13",
    complexity: "O(N) where N is the number of commands to look up",
    group: Group::Server,
    arity: -2,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output_order"],
    arguments: NAMES,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static LIST: Spec = Spec {
    name: "command|list",
    summary: "Lists the names of all commands, or of those that a filter lets pass.",
    since: "7.0.0",
    complexity: "O(N) where N is the total number of commands",
    group: Group::Server,
    arity: -2,
    flags: Flags::LOADING.and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output_order"],
    arguments: FILTER,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
