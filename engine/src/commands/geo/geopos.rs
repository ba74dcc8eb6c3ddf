//! GEOPOS: where places are.

use swell_wire::{Args, Out};

use super::earth::Point;
use super::write_point;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::zset::ZSet;

/// GEOPOS.
pub static GEOPOS: Spec = Spec {
    name: "geopos",
    summary: "Answers the coordinates of places of a geospatial index.",
    since: "3.2.0",
    complexity: "O(1) for each member requested.",
    group: Group::Geo,
    arity: -2,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::GEO).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, ArgDoc { optional: true, multiple: true, ..plain_arg("member", ArgKind::String) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(geopos),
};

fn geopos(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let hasher = cx.tools().hasher;
    let zset = cx.read(cx.key(args, 0)).map(|entry| entry.collection::<ZSet>()).transpose()?;
    let members = args.from(2);
    out.array(members.len());
    for member in members.iter() {
        match zset.and_then(|zset| zset.score(member, &hasher)) {
            Some(score) => write_point(out, Point::of_score(score)),
            None => out.null_array(),
        }
    }
    cx.work(members.len().saturating_sub(1) as u64);
    Ok(())
}
