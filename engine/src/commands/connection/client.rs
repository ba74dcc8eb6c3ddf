//! CLIENT and its subcommands.

use crate::commands::grammar::{plain_arg, word_arg};
use crate::spec::*;

pub static CLIENT: Spec = Spec {
    name: "client",
    summary: "Container for commands about connections.",
    since: "2.4.0",
    complexity: "Depends on subcommand.",
    group: Group::Connection,
    arity: -2,
    flags: Flags::NONE,
    acl: Acl::SLOW,
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Container,
};

pub static GETNAME: Spec = Spec {
    name: "client|getname",
    summary: "Reads the connection's name.",
    since: "2.6.9",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 2,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::ALLOW_BUSY),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static HELP: Spec = Spec {
    name: "client|help",
    summary: "Lists the subcommands of CLIENT.",
    since: "5.0.0",
    complexity: "O(1)",
    group: Group::Connection,
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

pub static ID: Spec = Spec {
    name: "client|id",
    summary: "Reads the connection's number.",
    since: "5.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 2,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::ALLOW_BUSY),
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
    name: "client|info",
    summary: "Describes the connection in one line.",
    since: "6.2.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 2,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output"],
    arguments: &[],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static KILL: Spec = Spec {
    name: "client|kill",
    summary: "Ends connections.",
    since: "2.4.0",
    complexity: "O(N) where N is the number of client connections",
    group: Group::Connection,
    arity: -3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS).and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[ArgDoc {
        arguments: &[
            ArgDoc { deprecated_since: "2.8.12", ..plain_arg("old-format", ArgKind::String) },
            ArgDoc {
                multiple: true,
                arguments: &[
                    ArgDoc {
                        token: "ID",
                        since: "2.8.12",
                        optional: true,
                        multiple: true,
                        ..plain_arg("client-id", ArgKind::Integer)
                    },
                    ArgDoc {
                        token: "TYPE",
                        since: "2.8.12",
                        optional: true,
                        arguments: &[
                            ArgDoc { token: "NORMAL", ..plain_arg("normal", ArgKind::PureToken) },
                            ArgDoc { token: "MASTER", since: "3.2.0", ..plain_arg("master", ArgKind::PureToken) },
                            ArgDoc { token: "PRIMARY", since: "8.0.0", ..plain_arg("primary", ArgKind::PureToken) },
                            ArgDoc { token: "SLAVE", ..plain_arg("slave", ArgKind::PureToken) },
                            ArgDoc { token: "REPLICA", since: "5.0.0", ..plain_arg("replica", ArgKind::PureToken) },
                            ArgDoc { token: "PUBSUB", ..plain_arg("pubsub", ArgKind::PureToken) },
                        ],
                        ..plain_arg("client-type", ArgKind::OneOf)
                    },
                    ArgDoc { token: "USER", optional: true, ..plain_arg("username", ArgKind::String) },
                    ArgDoc { token: "ADDR", optional: true, ..plain_arg("addr", ArgKind::String) },
                    ArgDoc { token: "LADDR", since: "6.2.0", optional: true, ..plain_arg("laddr", ArgKind::String) },
                    ArgDoc {
                        token: "SKIPME",
                        optional: true,
                        arguments: &[
                            ArgDoc { token: "YES", ..plain_arg("yes", ArgKind::PureToken) },
                            ArgDoc { token: "NO", ..plain_arg("no", ArgKind::PureToken) },
                        ],
                        ..plain_arg("skipme", ArgKind::OneOf)
                    },
                    ArgDoc { token: "MAXAGE", since: "8.0.0", optional: true, ..plain_arg("maxage", ArgKind::Integer) },
                    ArgDoc { token: "NAME", since: "9.0.0", optional: true, ..plain_arg("name", ArgKind::String) },
                    ArgDoc { token: "IDLE", since: "9.0.0", optional: true, ..plain_arg("idle", ArgKind::Integer) },
                    ArgDoc { token: "FLAGS", since: "9.0.0", optional: true, ..plain_arg("flags", ArgKind::String) },
                    ArgDoc {
                        token: "LIB-NAME",
                        since: "9.0.0",
                        optional: true,
                        ..plain_arg("lib-name", ArgKind::String)
                    },
                    ArgDoc {
                        token: "LIB-VER",
                        since: "9.0.0",
                        optional: true,
                        ..plain_arg("lib-ver", ArgKind::String)
                    },
                    ArgDoc { token: "DB", since: "9.0.0", optional: true, ..plain_arg("db", ArgKind::Integer) },
                    ArgDoc { token: "CAPA", since: "9.0.0", optional: true, ..plain_arg("capa", ArgKind::String) },
                    ArgDoc { token: "IP", since: "9.0.0", optional: true, ..plain_arg("ip", ArgKind::String) },
                    ArgDoc {
                        token: "NOT-TYPE",
                        since: "9.0.0",
                        optional: true,
                        arguments: &[
                            ArgDoc { token: "NORMAL", ..plain_arg("normal", ArgKind::PureToken) },
                            ArgDoc { token: "MASTER", ..plain_arg("master", ArgKind::PureToken) },
                            ArgDoc { token: "PRIMARY", ..plain_arg("primary", ArgKind::PureToken) },
                            ArgDoc { token: "SLAVE", ..plain_arg("slave", ArgKind::PureToken) },
                            ArgDoc { token: "REPLICA", ..plain_arg("replica", ArgKind::PureToken) },
                            ArgDoc { token: "PUBSUB", ..plain_arg("pubsub", ArgKind::PureToken) },
                        ],
                        ..plain_arg("not-client-type", ArgKind::OneOf)
                    },
                    ArgDoc {
                        token: "NOT-ID",
                        since: "9.0.0",
                        optional: true,
                        multiple: true,
                        ..plain_arg("not-client-id", ArgKind::Integer)
                    },
                    ArgDoc {
                        token: "NOT-USER",
                        since: "9.0.0",
                        optional: true,
                        ..plain_arg("not-username", ArgKind::String)
                    },
                    ArgDoc {
                        token: "NOT-ADDR",
                        since: "9.0.0",
                        optional: true,
                        ..plain_arg("not-addr", ArgKind::String)
                    },
                    ArgDoc {
                        token: "NOT-LADDR",
                        since: "9.0.0",
                        optional: true,
                        ..plain_arg("not-laddr", ArgKind::String)
                    },
                    ArgDoc {
                        token: "NOT-NAME",
                        since: "9.0.0",
                        optional: true,
                        ..plain_arg("not-name", ArgKind::String)
                    },
                    ArgDoc {
                        token: "NOT-FLAGS",
                        since: "9.0.0",
                        optional: true,
                        ..plain_arg("not-flags", ArgKind::String)
                    },
                    ArgDoc {
                        token: "NOT-LIB-NAME",
                        since: "9.0.0",
                        optional: true,
                        ..plain_arg("not-lib-name", ArgKind::String)
                    },
                    ArgDoc {
                        token: "NOT-LIB-VER",
                        since: "9.0.0",
                        optional: true,
                        ..plain_arg("not-lib-ver", ArgKind::String)
                    },
                    ArgDoc { token: "NOT-DB", since: "9.0.0", optional: true, ..plain_arg("not-db", ArgKind::Integer) },
                    ArgDoc {
                        token: "NOT-CAPA",
                        since: "9.0.0",
                        optional: true,
                        ..plain_arg("not-capa", ArgKind::String)
                    },
                    ArgDoc { token: "NOT-IP", since: "9.0.0", optional: true, ..plain_arg("not-ip", ArgKind::String) },
                ],
                ..plain_arg("new-format", ArgKind::OneOf)
            },
        ],
        ..plain_arg("filter", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static LIST: Spec = Spec {
    name: "client|list",
    summary: "Describes the open connections, a line each.",
    since: "2.4.0",
    complexity: "O(N) where N is the number of client connections",
    group: Group::Connection,
    arity: -2,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS).and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["nondeterministic_output"],
    arguments: &[
        ArgDoc {
            token: "TYPE",
            since: "5.0.0",
            optional: true,
            arguments: &[
                ArgDoc { token: "NORMAL", ..plain_arg("normal", ArgKind::PureToken) },
                ArgDoc { token: "MASTER", ..plain_arg("master", ArgKind::PureToken) },
                ArgDoc { token: "REPLICA", ..plain_arg("replica", ArgKind::PureToken) },
                ArgDoc { token: "PUBSUB", ..plain_arg("pubsub", ArgKind::PureToken) },
            ],
            ..plain_arg("client-type", ArgKind::OneOf)
        },
        ArgDoc {
            token: "ID",
            since: "6.2.0",
            optional: true,
            multiple: true,
            ..plain_arg("client-id", ArgKind::Integer)
        },
        ArgDoc { token: "USER", since: "8.1.0", optional: true, ..plain_arg("username", ArgKind::String) },
        ArgDoc { token: "ADDR", since: "8.1.0", optional: true, ..plain_arg("addr", ArgKind::String) },
        ArgDoc { token: "LADDR", since: "8.1.0", optional: true, ..plain_arg("laddr", ArgKind::String) },
        ArgDoc {
            token: "SKIPME",
            since: "8.1.0",
            optional: true,
            arguments: &[
                ArgDoc { token: "YES", ..plain_arg("yes", ArgKind::PureToken) },
                ArgDoc { token: "NO", ..plain_arg("no", ArgKind::PureToken) },
            ],
            ..plain_arg("skipme", ArgKind::OneOf)
        },
        ArgDoc { token: "MAXAGE", since: "8.1.0", optional: true, ..plain_arg("maxage", ArgKind::Integer) },
        ArgDoc { token: "NAME", since: "9.0.0", optional: true, ..plain_arg("name", ArgKind::String) },
        ArgDoc { token: "IDLE", since: "9.0.0", optional: true, ..plain_arg("idle", ArgKind::Integer) },
        ArgDoc { token: "FLAGS", since: "9.0.0", optional: true, ..plain_arg("flags", ArgKind::String) },
        ArgDoc { token: "LIB-NAME", since: "9.0.0", optional: true, ..plain_arg("lib-name", ArgKind::String) },
        ArgDoc { token: "LIB-VER", since: "9.0.0", optional: true, ..plain_arg("lib-ver", ArgKind::String) },
        ArgDoc { token: "DB", since: "9.0.0", optional: true, ..plain_arg("db", ArgKind::Integer) },
        ArgDoc { token: "CAPA", since: "9.0.0", optional: true, ..plain_arg("capa", ArgKind::String) },
        ArgDoc { token: "IP", since: "9.0.0", optional: true, ..plain_arg("ip", ArgKind::String) },
        ArgDoc {
            token: "NOT-TYPE",
            since: "9.0.0",
            optional: true,
            arguments: &[
                ArgDoc { token: "NORMAL", ..plain_arg("normal", ArgKind::PureToken) },
                ArgDoc { token: "MASTER", ..plain_arg("master", ArgKind::PureToken) },
                ArgDoc { token: "REPLICA", ..plain_arg("replica", ArgKind::PureToken) },
                ArgDoc { token: "PUBSUB", ..plain_arg("pubsub", ArgKind::PureToken) },
            ],
            ..plain_arg("not-client-type", ArgKind::OneOf)
        },
        ArgDoc {
            token: "NOT-ID",
            since: "9.0.0",
            optional: true,
            multiple: true,
            ..plain_arg("not-client-id", ArgKind::Integer)
        },
        ArgDoc { token: "NOT-USER", since: "9.0.0", optional: true, ..plain_arg("not-username", ArgKind::String) },
        ArgDoc { token: "NOT-ADDR", since: "9.0.0", optional: true, ..plain_arg("not-addr", ArgKind::String) },
        ArgDoc { token: "NOT-LADDR", since: "9.0.0", optional: true, ..plain_arg("not-laddr", ArgKind::String) },
        ArgDoc { token: "NOT-NAME", since: "9.0.0", optional: true, ..plain_arg("not-name", ArgKind::String) },
        ArgDoc { token: "NOT-FLAGS", since: "9.0.0", optional: true, ..plain_arg("not-flags", ArgKind::String) },
        ArgDoc { token: "NOT-LIB-NAME", since: "9.0.0", optional: true, ..plain_arg("not-lib-name", ArgKind::String) },
        ArgDoc { token: "NOT-LIB-VER", since: "9.0.0", optional: true, ..plain_arg("not-lib-ver", ArgKind::String) },
        ArgDoc { token: "NOT-DB", since: "9.0.0", optional: true, ..plain_arg("not-db", ArgKind::Integer) },
        ArgDoc { token: "NOT-CAPA", since: "9.0.0", optional: true, ..plain_arg("not-capa", ArgKind::String) },
        ArgDoc { token: "NOT-IP", since: "9.0.0", optional: true, ..plain_arg("not-ip", ArgKind::String) },
    ],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static NO_EVICT: Spec = Spec {
    name: "client|no-evict",
    summary: "Says whether the connection may be closed to save memory.",
    since: "7.0.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE).and(Flags::ALLOW_BUSY),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS).and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[ArgDoc {
        arguments: &[word_arg("on", "ON"), word_arg("off", "OFF")],
        ..plain_arg("enabled", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static NO_TOUCH: Spec = Spec {
    name: "client|no-touch",
    summary: "Says whether commands of the connection count as uses of their keys.",
    since: "7.2.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 3,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::ALLOW_BUSY),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[ArgDoc {
        arguments: &[word_arg("on", "ON"), word_arg("off", "OFF")],
        ..plain_arg("enabled", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static REPLY: Spec = Spec {
    name: "client|reply",
    summary: "Turns replies off and on.",
    since: "3.2.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 3,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::NO_MULTI).and(Flags::ALLOW_BUSY),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[ArgDoc {
        arguments: &[word_arg("on", "ON"), word_arg("off", "OFF"), word_arg("skip", "SKIP")],
        ..plain_arg("action", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static SETINFO: Spec = Spec {
    name: "client|setinfo",
    summary: "Notes the client library's name or version.",
    since: "7.2.0",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 4,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::ALLOW_BUSY),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[ArgDoc {
        arguments: &[
            ArgDoc { token: "LIB-NAME", ..plain_arg("libname", ArgKind::String) },
            ArgDoc { token: "LIB-VER", ..plain_arg("libver", ArgKind::String) },
        ],
        ..plain_arg("attr", ArgKind::OneOf)
    }],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static SETNAME: Spec = Spec {
    name: "client|setname",
    summary: "Names the connection.",
    since: "2.6.9",
    complexity: "O(1)",
    group: Group::Connection,
    arity: 3,
    flags: Flags::NOSCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::ALLOW_BUSY),
    acl: Acl::SLOW.and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    arguments: &[plain_arg("connection-name", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};

pub static UNBLOCK: Spec = Spec {
    name: "client|unblock",
    summary: "Ends another connection's wait.",
    since: "5.0.0",
    complexity: "O(log N) where N is the number of client connections",
    group: Group::Connection,
    arity: -3,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    acl: Acl::ADMIN.and(Acl::SLOW).and(Acl::DANGEROUS).and(Acl::CONNECTION),
    keys: &[],
    spread: Spread::Anywhere,
    tips: &[],
    arguments: &[
        plain_arg("client-id", ArgKind::Integer),
        ArgDoc {
            optional: true,
            arguments: &[word_arg("timeout", "TIMEOUT"), word_arg("error", "ERROR")],
            ..plain_arg("unblock-type", ArgKind::OneOf)
        },
    ],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Session,
};
