//! GEOHASH: places as the geohash strings that others use.

use swell_wire::{Args, Out};

use super::cell::{Cell, STEPS_MAX};
use super::earth::Point;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::zset::ZSet;

/// GEOHASH.
pub static GEOHASH: Spec = Spec {
    name: "geohash",
    summary: "Answers the geohash strings of places of a geospatial index.",
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
    body: Body::Keys(geohash),
};

/// Five bits each.
const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
const TEXT_BYTES: usize = 11;

fn geohash(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let hasher = cx.tools().hasher;
    let zset = cx.read(cx.key(args, 0)).map(|entry| entry.collection::<ZSet>()).transpose()?;
    let members = args.from(2);
    out.array(members.len());
    for member in members.iter() {
        match zset.and_then(|zset| zset.score(member, &hasher)) {
            Some(score) => out.bulk(&text_of(Point::of_score(score))),
            None => out.null(),
        }
    }
    cx.work(members.len().saturating_sub(1) as u64);
    Ok(())
}

/// Others' maps reach the poles. There are 52 bits and not 55: the last letter is always 0.
fn text_of(point: Point) -> [u8; TEXT_BYTES] {
    let bits = Cell::within(point, STEPS_MAX, 90.0).bits;
    std::array::from_fn(|index| match (2 * STEPS_MAX).checked_sub((index as u32 + 1) * 5) {
        Some(shift) => LETTERS[(bits >> shift) as usize & 31],
        None => LETTERS[0],
    })
}
