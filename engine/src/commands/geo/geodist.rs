//! GEODIST: how far two places are from each other.

use swell_wire::{Args, Out};

use super::earth::Point;
use super::{unit, write_distance};
use crate::commands::grammar::{KEY, one_key, plain_arg, word_arg};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::zset::ZSet;

/// GEODIST.
pub static GEODIST: Spec = Spec {
    name: "geodist",
    summary: "Answers the distance between two places of a geospatial index.",
    since: "3.2.0",
    complexity: "O(1)",
    group: Group::Geo,
    arity: -4,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::GEO).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("member1", ArgKind::String),
        plain_arg("member2", ArgKind::String),
        ArgDoc {
            optional: true,
            arguments: &[word_arg("m", "M"), word_arg("km", "KM"), word_arg("ft", "FT"), word_arg("mi", "MI")],
            ..plain_arg("unit", ArgKind::OneOf)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(geodist),
};

fn geodist(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let unit = match args.opt(4) {
        Some(_) if args.len() > 5 => return Err(Fault::Syntax),
        Some(arg) => unit(arg)?,
        None => 1.0,
    };
    let hasher = cx.tools().hasher;
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        out.null();
        return Ok(());
    };
    let zset = entry.collection::<ZSet>()?;
    let place = |at: usize| zset.score(args.slice(at), &hasher).map(Point::of_score);
    match (place(2), place(3)) {
        (Some(from), Some(to)) => write_distance(out, from.distance(to) / unit),
        _ => out.null(),
    }
    Ok(())
}
