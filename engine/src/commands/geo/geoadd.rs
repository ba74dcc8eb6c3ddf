//! GEOADD: places with their coordinates.

use swell_wire::{Args, Out};

use super::cell::{Cell, STEPS_MAX};
use super::point;
use crate::commands::grammar::{KEY, one_key, plain_arg, token, word_arg};
use crate::commands::options::is_word;
use crate::commands::sorted_set::{AddOptions, add_members};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// GEOADD.
pub static GEOADD: Spec = Spec {
    name: "geoadd",
    summary: "Adds places with their coordinates to a geospatial index, or moves them.",
    since: "3.2.0",
    complexity: "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
    group: Group::Geo,
    arity: -5,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::GEO).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        ArgDoc {
            since: "6.2.0",
            optional: true,
            arguments: &[word_arg("nx", "NX"), word_arg("xx", "XX")],
            ..plain_arg("condition", ArgKind::OneOf)
        },
        ArgDoc { optional: true, ..token("CH", "6.2.0", "change", ArgKind::PureToken) },
        ArgDoc {
            multiple: true,
            arguments: &[
                plain_arg("longitude", ArgKind::Double),
                plain_arg("latitude", ArgKind::Double),
                plain_arg("member", ArgKind::String),
            ],
            ..plain_arg("data", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(geoadd),
};

fn geoadd(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let mut options = AddOptions::default();
    let mut at = 2;
    while let Some(word) = args.opt(at) {
        match word {
            _ if is_word(word, "NX") => options.nx = true,
            _ if is_word(word, "XX") => options.xx = true,
            _ if is_word(word, "CH") => options.changed = true,
            _ => break,
        }
        at += 1;
    }
    let rest = args.len() - at;
    if rest == 0 || !rest.is_multiple_of(3) || (options.nx && options.xx) {
        return Err(Fault::Syntax);
    }
    let place = |n: usize| {
        let at = at + n * 3;
        point(args, at).map(|point| (Cell::of(point, STEPS_MAX).bits as f64, at + 2))
    };
    let places = (0..rest / 3).map(place).collect::<Result<Vec<_>, Fault>>()?;
    let (added, updated, _) = add_members(cx, args, options, &places)?;
    out.int(if options.changed { added + updated } else { added });
    Ok(())
}
