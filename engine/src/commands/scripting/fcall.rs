//! FCALL and FCALL_RO.

use crate::commands::grammar::{key_arg, plain_arg};
use crate::script::How;
use crate::spec::*;

pub static FCALL: Spec = Spec {
    name: "fcall",
    summary: "Calls a function of a library.",
    since: "7.0.0",
    complexity: "Depends on the function that is executed.",
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
        plain_arg("function", ArgKind::String),
        plain_arg("numkeys", ArgKind::Integer),
        ArgDoc { optional: true, multiple: true, ..key_arg("key", 0) },
        ArgDoc { optional: true, multiple: true, ..plain_arg("arg", ArgKind::String) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::BehindKeys(2),
    body: Body::Script(How::Function),
};

pub static FCALL_RO: Spec = Spec {
    name: "fcall_ro",
    summary: "Calls a function of a library that only reads.",
    since: "7.0.0",
    complexity: "Depends on the function that is executed.",
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
        plain_arg("function", ArgKind::String),
        plain_arg("numkeys", ArgKind::Integer),
        ArgDoc { optional: true, multiple: true, ..key_arg("key", 0) },
        ArgDoc { optional: true, multiple: true, ..plain_arg("arg", ArgKind::String) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::BehindKeys(2),
    body: Body::Script(How::Function),
};
