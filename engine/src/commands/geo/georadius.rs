//! GEORADIUS and GEORADIUSBYMEMBER, and what they are without STORE: the older names of what GEOSEARCH does.

use swell_wire::{Args, Out};

use super::request::{Command, run, size};
use crate::commands::grammar::{KEY, key_arg, one_key, plain_arg, token, word_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// GEORADIUS.
pub static GEORADIUS: Spec = Spec {
    name: "georadius",
    summary: "Answers or stores the places of a geospatial index around a point.",
    since: "3.2.0",
    complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
    group: Group::Geo,
    arity: -6,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
    acl: Acl::WRITE.and(Acl::GEO).and(Acl::SLOW),
    keys: &[
        one_key(Access::Read, &["RO", "access"]),
        KeySpec {
            notes: "",
            access: Access::Write,
            flags: &["OW", "update", "variable_flags"],
            begin: Begin::Option { word: "STORE", from: 6, takes: TAKES, shown: true },
            find: Find::Range { last: 0, step: 1 },
        },
        KeySpec {
            notes: "",
            access: Access::Write,
            flags: &["OW", "update", "variable_flags"],
            begin: Begin::Option { word: "STOREDIST", from: 6, takes: TAKES, shown: true },
            find: Find::Range { last: 0, step: 1 },
        },
    ],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("longitude", ArgKind::Double),
        plain_arg("latitude", ArgKind::Double),
        plain_arg("radius", ArgKind::Double),
        ArgDoc {
            arguments: &[word_arg("m", "M"), word_arg("km", "KM"), word_arg("ft", "FT"), word_arg("mi", "MI")],
            ..plain_arg("unit", ArgKind::OneOf)
        },
        ArgDoc { optional: true, ..token("WITHCOORD", "", "withcoord", ArgKind::PureToken) },
        ArgDoc { optional: true, ..token("WITHDIST", "", "withdist", ArgKind::PureToken) },
        ArgDoc { optional: true, ..token("WITHHASH", "", "withhash", ArgKind::PureToken) },
        ArgDoc {
            optional: true,
            arguments: &[
                token("COUNT", "", "count", ArgKind::Integer),
                ArgDoc { optional: true, ..token("ANY", "6.2.0", "any", ArgKind::PureToken) },
            ],
            ..plain_arg("count-block", ArgKind::Block)
        },
        ArgDoc {
            optional: true,
            arguments: &[word_arg("asc", "ASC"), word_arg("desc", "DESC")],
            ..plain_arg("order", ArgKind::OneOf)
        },
        ArgDoc {
            optional: true,
            arguments: &[
                ArgDoc { token: "STORE", ..key_arg("storekey", 1) },
                ArgDoc { token: "STOREDIST", ..key_arg("storedistkey", 2) },
            ],
            ..plain_arg("store", ArgKind::OneOf)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(georadius, georadius_size),
};

/// GEORADIUS_RO.
pub static GEORADIUS_RO: Spec = Spec {
    name: "georadius_ro",
    summary: "Answers the places of a geospatial index around a point.",
    since: "3.2.10",
    complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
    group: Group::Geo,
    arity: -6,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::GEO).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("longitude", ArgKind::Double),
        plain_arg("latitude", ArgKind::Double),
        plain_arg("radius", ArgKind::Double),
        ArgDoc {
            arguments: &[word_arg("m", "M"), word_arg("km", "KM"), word_arg("ft", "FT"), word_arg("mi", "MI")],
            ..plain_arg("unit", ArgKind::OneOf)
        },
        ArgDoc { optional: true, ..token("WITHCOORD", "", "withcoord", ArgKind::PureToken) },
        ArgDoc { optional: true, ..token("WITHDIST", "", "withdist", ArgKind::PureToken) },
        ArgDoc { optional: true, ..token("WITHHASH", "", "withhash", ArgKind::PureToken) },
        ArgDoc {
            optional: true,
            arguments: &[
                token("COUNT", "", "count", ArgKind::Integer),
                ArgDoc { optional: true, ..token("ANY", "6.2.0", "any", ArgKind::PureToken) },
            ],
            ..plain_arg("count-block", ArgKind::Block)
        },
        ArgDoc {
            optional: true,
            arguments: &[word_arg("asc", "ASC"), word_arg("desc", "DESC")],
            ..plain_arg("order", ArgKind::OneOf)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(georadius_ro, georadius_ro_size),
};

/// GEORADIUSBYMEMBER.
pub static GEORADIUSBYMEMBER: Spec = Spec {
    name: "georadiusbymember",
    summary: "Answers or stores the places of a geospatial index around one of its places.",
    since: "3.2.0",
    complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
    group: Group::Geo,
    arity: -5,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLEKEYS),
    acl: Acl::WRITE.and(Acl::GEO).and(Acl::SLOW),
    keys: &[
        one_key(Access::Read, &["RO", "access"]),
        KeySpec {
            notes: "",
            access: Access::Write,
            flags: &["OW", "update", "variable_flags"],
            begin: Begin::Option { word: "STORE", from: 5, takes: TAKES, shown: true },
            find: Find::Range { last: 0, step: 1 },
        },
        KeySpec {
            notes: "",
            access: Access::Write,
            flags: &["OW", "update", "variable_flags"],
            begin: Begin::Option { word: "STOREDIST", from: 5, takes: TAKES, shown: true },
            find: Find::Range { last: 0, step: 1 },
        },
    ],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("member", ArgKind::String),
        plain_arg("radius", ArgKind::Double),
        ArgDoc {
            arguments: &[word_arg("m", "M"), word_arg("km", "KM"), word_arg("ft", "FT"), word_arg("mi", "MI")],
            ..plain_arg("unit", ArgKind::OneOf)
        },
        ArgDoc { optional: true, ..token("WITHCOORD", "", "withcoord", ArgKind::PureToken) },
        ArgDoc { optional: true, ..token("WITHDIST", "", "withdist", ArgKind::PureToken) },
        ArgDoc { optional: true, ..token("WITHHASH", "", "withhash", ArgKind::PureToken) },
        ArgDoc {
            optional: true,
            arguments: &[
                token("COUNT", "", "count", ArgKind::Integer),
                ArgDoc { optional: true, ..token("ANY", "", "any", ArgKind::PureToken) },
            ],
            ..plain_arg("count-block", ArgKind::Block)
        },
        ArgDoc {
            optional: true,
            arguments: &[word_arg("asc", "ASC"), word_arg("desc", "DESC")],
            ..plain_arg("order", ArgKind::OneOf)
        },
        ArgDoc {
            optional: true,
            arguments: &[
                ArgDoc { token: "STORE", ..key_arg("storekey", 1) },
                ArgDoc { token: "STOREDIST", ..key_arg("storedistkey", 2) },
            ],
            ..plain_arg("store", ArgKind::OneOf)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(georadiusbymember, georadiusbymember_size),
};

/// GEORADIUSBYMEMBER_RO.
pub static GEORADIUSBYMEMBER_RO: Spec = Spec {
    name: "georadiusbymember_ro",
    summary: "Answers the places of a geospatial index around one of its places.",
    since: "3.2.10",
    complexity: "O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.",
    group: Group::Geo,
    arity: -5,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::GEO).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("member", ArgKind::String),
        plain_arg("radius", ArgKind::Double),
        ArgDoc {
            arguments: &[word_arg("m", "M"), word_arg("km", "KM"), word_arg("ft", "FT"), word_arg("mi", "MI")],
            ..plain_arg("unit", ArgKind::OneOf)
        },
        ArgDoc { optional: true, ..token("WITHCOORD", "", "withcoord", ArgKind::PureToken) },
        ArgDoc { optional: true, ..token("WITHDIST", "", "withdist", ArgKind::PureToken) },
        ArgDoc { optional: true, ..token("WITHHASH", "", "withhash", ArgKind::PureToken) },
        ArgDoc {
            optional: true,
            arguments: &[
                token("COUNT", "", "count", ArgKind::Integer),
                ArgDoc { optional: true, ..token("ANY", "", "any", ArgKind::PureToken) },
            ],
            ..plain_arg("count-block", ArgKind::Block)
        },
        ArgDoc {
            optional: true,
            arguments: &[word_arg("asc", "ASC"), word_arg("desc", "DESC")],
            ..plain_arg("order", ArgKind::OneOf)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(georadiusbymember_ro, georadiusbymember_ro_size),
};

/// What the options of these commands take, so that no key is taken for an option.
const TAKES: &[(&str, usize)] = &[("COUNT", 1), ("STORE", 1), ("STOREDIST", 1)];

fn georadius_size(cx: &Exec<'_>, args: Args<'_>) -> usize {
    size(cx, args, Command::Around { stores: true })
}

fn georadius_ro_size(cx: &Exec<'_>, args: Args<'_>) -> usize {
    size(cx, args, Command::Around { stores: false })
}

fn georadiusbymember_size(cx: &Exec<'_>, args: Args<'_>) -> usize {
    size(cx, args, Command::AroundMember { stores: true })
}

fn georadiusbymember_ro_size(cx: &Exec<'_>, args: Args<'_>) -> usize {
    size(cx, args, Command::AroundMember { stores: false })
}

fn georadius(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    run(cx, args, out, Command::Around { stores: true })
}

fn georadius_ro(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    run(cx, args, out, Command::Around { stores: false })
}

fn georadiusbymember(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    run(cx, args, out, Command::AroundMember { stores: true })
}

fn georadiusbymember_ro(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    run(cx, args, out, Command::AroundMember { stores: false })
}
