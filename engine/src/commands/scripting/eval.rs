//! EVAL, EVALSHA and their read-only forms.

use crate::commands::grammar::{key_arg, plain_arg};
use crate::script::How;
use crate::spec::*;

pub static EVAL: Spec = Spec {
    name: "eval",
    summary: "Runs a script.",
    since: "2.6.0",
    complexity: "Depends on the script that is executed.",
    group: Group::Scripting,
    arity: -3,
    flags: Flags::NOSCRIPT
        .and(Flags::STALE)
        .and(Flags::SKIP_MONITOR)
        .and(Flags::NO_MANDATORY_KEYS)
        .and(Flags::MOVABLEKEYS),
    acl: Acl::SLOW.and(Acl::SCRIPTING),
    keys: &[KeySpec {
        notes: "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE",
        access: Access::Write,
        flags: &["RW", "access", "update"],
        begin: Begin::Index(2),
        find: Find::Count { number: 0, first: 1, step: 1 },
    }],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        plain_arg("script", ArgKind::String),
        plain_arg("numkeys", ArgKind::Integer),
        ArgDoc { optional: true, multiple: true, ..key_arg("key", 0) },
        ArgDoc { optional: true, multiple: true, ..plain_arg("arg", ArgKind::String) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::BehindKeys(2),
    body: Body::Script(How::Eval),
};

pub static EVAL_RO: Spec = Spec {
    name: "eval_ro",
    summary: "Runs a script that only reads.",
    since: "7.0.0",
    complexity: "Depends on the script that is executed.",
    group: Group::Scripting,
    arity: -3,
    flags: Flags::READONLY
        .and(Flags::NOSCRIPT)
        .and(Flags::STALE)
        .and(Flags::SKIP_MONITOR)
        .and(Flags::NO_MANDATORY_KEYS)
        .and(Flags::MOVABLEKEYS),
    acl: Acl::SLOW.and(Acl::SCRIPTING),
    keys: &[KeySpec {
        notes: "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS",
        access: Access::Read,
        flags: &["RO", "access"],
        begin: Begin::Index(2),
        find: Find::Count { number: 0, first: 1, step: 1 },
    }],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        plain_arg("script", ArgKind::String),
        plain_arg("numkeys", ArgKind::Integer),
        ArgDoc { optional: true, multiple: true, ..key_arg("key", 0) },
        ArgDoc { optional: true, multiple: true, ..plain_arg("arg", ArgKind::String) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::BehindKeys(2),
    body: Body::Script(How::Eval),
};

pub static EVALSHA: Spec = Spec {
    name: "evalsha",
    summary: "Runs a script that is known, by its SHA-1.",
    since: "2.6.0",
    complexity: "Depends on the script that is executed.",
    group: Group::Scripting,
    arity: -3,
    flags: Flags::NOSCRIPT
        .and(Flags::STALE)
        .and(Flags::SKIP_MONITOR)
        .and(Flags::NO_MANDATORY_KEYS)
        .and(Flags::MOVABLEKEYS),
    acl: Acl::SLOW.and(Acl::SCRIPTING),
    keys: &[KeySpec {
        notes: "",
        access: Access::Write,
        flags: &["RW", "access", "update"],
        begin: Begin::Index(2),
        find: Find::Count { number: 0, first: 1, step: 1 },
    }],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        plain_arg("sha1", ArgKind::String),
        plain_arg("numkeys", ArgKind::Integer),
        ArgDoc { optional: true, multiple: true, ..key_arg("key", 0) },
        ArgDoc { optional: true, multiple: true, ..plain_arg("arg", ArgKind::String) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::BehindKeys(2),
    body: Body::Script(How::EvalSha),
};

pub static EVALSHA_RO: Spec = Spec {
    name: "evalsha_ro",
    summary: "Runs a known script that only reads, by its SHA-1.",
    since: "7.0.0",
    complexity: "Depends on the script that is executed.",
    group: Group::Scripting,
    arity: -3,
    flags: Flags::READONLY
        .and(Flags::NOSCRIPT)
        .and(Flags::STALE)
        .and(Flags::SKIP_MONITOR)
        .and(Flags::NO_MANDATORY_KEYS)
        .and(Flags::MOVABLEKEYS),
    acl: Acl::SLOW.and(Acl::SCRIPTING),
    keys: &[KeySpec {
        notes: "",
        access: Access::Read,
        flags: &["RO", "access"],
        begin: Begin::Index(2),
        find: Find::Count { number: 0, first: 1, step: 1 },
    }],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        plain_arg("sha1", ArgKind::String),
        plain_arg("numkeys", ArgKind::Integer),
        ArgDoc { optional: true, multiple: true, ..key_arg("key", 0) },
        ArgDoc { optional: true, multiple: true, ..plain_arg("arg", ArgKind::String) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::BehindKeys(2),
    body: Body::Script(How::EvalSha),
};
