//! GEOSEARCH and GEOSEARCHSTORE: places in a circle, a box or a polygon.

use swell_wire::{Args, Out};

use super::request::{Command, run, size};
use crate::commands::grammar::{KEY, key_arg, one_key, plain_arg, token, word_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// GEOSEARCH.
pub static GEOSEARCH: Spec = Spec {
    name: "geosearch",
    summary: "Answers the places of a geospatial index that lie in a circle, a box or a polygon.",
    since: "6.2.0",
    complexity: "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape",
    group: Group::Geo,
    arity: -7,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::GEO).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        ArgDoc {
            optional: true,
            arguments: &[
                token("FROMMEMBER", "", "member", ArgKind::String),
                ArgDoc {
                    token: "FROMLONLAT",
                    arguments: &[plain_arg("longitude", ArgKind::Double), plain_arg("latitude", ArgKind::Double)],
                    ..plain_arg("fromlonlat", ArgKind::Block)
                },
            ],
            ..plain_arg("from", ArgKind::OneOf)
        },
        ArgDoc {
            arguments: &[
                ArgDoc {
                    arguments: &[
                        token("BYRADIUS", "", "radius", ArgKind::Double),
                        ArgDoc {
                            arguments: &[
                                word_arg("m", "M"),
                                word_arg("km", "KM"),
                                word_arg("ft", "FT"),
                                word_arg("mi", "MI"),
                            ],
                            ..plain_arg("unit", ArgKind::OneOf)
                        },
                    ],
                    ..plain_arg("circle", ArgKind::Block)
                },
                ArgDoc {
                    arguments: &[
                        token("BYBOX", "", "width", ArgKind::Double),
                        plain_arg("height", ArgKind::Double),
                        ArgDoc {
                            arguments: &[
                                word_arg("m", "M"),
                                word_arg("km", "KM"),
                                word_arg("ft", "FT"),
                                word_arg("mi", "MI"),
                            ],
                            ..plain_arg("unit", ArgKind::OneOf)
                        },
                    ],
                    ..plain_arg("box", ArgKind::Block)
                },
                ArgDoc {
                    since: "9.0.0",
                    arguments: &[
                        token("BYPOLYGON", "", "num-vertices", ArgKind::Integer),
                        ArgDoc {
                            multiple: true,
                            arguments: &[
                                plain_arg("longitude", ArgKind::Double),
                                plain_arg("latitude", ArgKind::Double),
                            ],
                            ..plain_arg("vertices", ArgKind::Block)
                        },
                    ],
                    ..plain_arg("polygon", ArgKind::Block)
                },
            ],
            ..plain_arg("by", ArgKind::OneOf)
        },
        ArgDoc {
            optional: true,
            arguments: &[word_arg("asc", "ASC"), word_arg("desc", "DESC")],
            ..plain_arg("order", ArgKind::OneOf)
        },
        ArgDoc {
            optional: true,
            arguments: &[
                token("COUNT", "", "count", ArgKind::Integer),
                ArgDoc { optional: true, ..token("ANY", "", "any", ArgKind::PureToken) },
            ],
            ..plain_arg("count-block", ArgKind::Block)
        },
        ArgDoc { optional: true, ..token("WITHCOORD", "", "withcoord", ArgKind::PureToken) },
        ArgDoc { optional: true, ..token("WITHDIST", "", "withdist", ArgKind::PureToken) },
        ArgDoc { optional: true, ..token("WITHHASH", "", "withhash", ArgKind::PureToken) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(geosearch, geosearch_size),
};

/// GEOSEARCHSTORE.
pub static GEOSEARCHSTORE: Spec = Spec {
    name: "geosearchstore",
    summary: "Stores the places of a geospatial index that lie in a circle, a box or a polygon.",
    since: "6.2.0",
    complexity: "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape",
    group: Group::Geo,
    arity: -8,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::GEO).and(Acl::SLOW),
    keys: &[
        one_key(Access::Write, &["OW", "update"]),
        KeySpec {
            notes: "",
            access: Access::Read,
            flags: &["RO", "access"],
            begin: Begin::Index(2),
            find: Find::Range { last: 0, step: 1 },
        },
    ],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        key_arg("destination", 0),
        key_arg("source", 1),
        ArgDoc {
            optional: true,
            arguments: &[
                token("FROMMEMBER", "", "member", ArgKind::String),
                ArgDoc {
                    token: "FROMLONLAT",
                    arguments: &[plain_arg("longitude", ArgKind::Double), plain_arg("latitude", ArgKind::Double)],
                    ..plain_arg("fromlonlat", ArgKind::Block)
                },
            ],
            ..plain_arg("from", ArgKind::OneOf)
        },
        ArgDoc {
            arguments: &[
                ArgDoc {
                    arguments: &[
                        token("BYRADIUS", "", "radius", ArgKind::Double),
                        ArgDoc {
                            arguments: &[
                                word_arg("m", "M"),
                                word_arg("km", "KM"),
                                word_arg("ft", "FT"),
                                word_arg("mi", "MI"),
                            ],
                            ..plain_arg("unit", ArgKind::OneOf)
                        },
                    ],
                    ..plain_arg("circle", ArgKind::Block)
                },
                ArgDoc {
                    arguments: &[
                        token("BYBOX", "", "width", ArgKind::Double),
                        plain_arg("height", ArgKind::Double),
                        ArgDoc {
                            arguments: &[
                                word_arg("m", "M"),
                                word_arg("km", "KM"),
                                word_arg("ft", "FT"),
                                word_arg("mi", "MI"),
                            ],
                            ..plain_arg("unit", ArgKind::OneOf)
                        },
                    ],
                    ..plain_arg("box", ArgKind::Block)
                },
                ArgDoc {
                    since: "9.0.0",
                    arguments: &[
                        token("BYPOLYGON", "", "num-vertices", ArgKind::Integer),
                        ArgDoc {
                            multiple: true,
                            arguments: &[
                                plain_arg("longitude", ArgKind::Double),
                                plain_arg("latitude", ArgKind::Double),
                            ],
                            ..plain_arg("vertices", ArgKind::Block)
                        },
                    ],
                    ..plain_arg("polygon", ArgKind::Block)
                },
            ],
            ..plain_arg("by", ArgKind::OneOf)
        },
        ArgDoc {
            optional: true,
            arguments: &[word_arg("asc", "ASC"), word_arg("desc", "DESC")],
            ..plain_arg("order", ArgKind::OneOf)
        },
        ArgDoc {
            optional: true,
            arguments: &[
                token("COUNT", "", "count", ArgKind::Integer),
                ArgDoc { optional: true, ..token("ANY", "", "any", ArgKind::PureToken) },
            ],
            ..plain_arg("count-block", ArgKind::Block)
        },
        ArgDoc { optional: true, ..token("STOREDIST", "", "storedist", ArgKind::PureToken) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(geosearchstore, geosearchstore_size),
};

fn geosearch_size(cx: &Exec<'_>, args: Args<'_>) -> usize {
    size(cx, args, Command::Search { stores: false })
}

fn geosearchstore_size(cx: &Exec<'_>, args: Args<'_>) -> usize {
    size(cx, args, Command::Search { stores: true })
}

fn geosearch(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    run(cx, args, out, Command::Search { stores: false })
}

fn geosearchstore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    run(cx, args, out, Command::Search { stores: true })
}
