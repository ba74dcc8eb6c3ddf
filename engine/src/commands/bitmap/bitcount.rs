//! BITCOUNT: how many bits are set.

use swell_wire::{Args, Out};

use super::bits::{Ranges, WORK_BYTES, count_ones, pieces};
use crate::bulk;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// BITCOUNT.
pub static BITCOUNT: Spec = Spec {
    name: "bitcount",
    summary: "Counts the bits that are set in a string, or in a part of it.",
    since: "2.6.0",
    complexity: "O(N) where N is the number of bytes",
    group: Group::Bitmap,
    arity: -2,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::BITMAP).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        ArgDoc {
            optional: true,
            arguments: &[
                plain_arg("start", ArgKind::Integer),
                ArgDoc {
                    optional: true,
                    arguments: &[
                        plain_arg("end", ArgKind::Integer),
                        ArgDoc {
                            since: "7.0.0",
                            optional: true,
                            arguments: &[
                                ArgDoc { token: "BYTE", ..plain_arg("byte", ArgKind::PureToken) },
                                ArgDoc { token: "BIT", ..plain_arg("bit", ArgKind::PureToken) },
                            ],
                            ..plain_arg("unit", ArgKind::OneOf)
                        },
                    ],
                    ..plain_arg("end-unit-block", ArgKind::Block)
                },
            ],
            ..plain_arg("range", ArgKind::Block)
        },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(bitcount, bulk::of_scan),
};

/// The range is read before the key is looked up.
fn bitcount(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let ranges = Ranges::parse(args, 2)?;
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        out.int(0);
        return Ok(());
    };
    let value = entry.string()?;
    let bits = if ranges.is_backwards() { None } else { ranges.bits(value.len()) };
    let Some((first, last)) = bits else {
        out.int(0);
        return Ok(());
    };
    let (from, to) = ((first / 8) as usize, (last / 8) as usize);
    let mut count = pieces(value, from, to + 1).map(count_ones).sum::<u64>();
    // What was counted and lies before the first bit, or behind the last.
    let (head, tail) = (super::bits::byte_at(value, from), super::bits::byte_at(value, to));
    count -= u64::from((head & !(0xff >> (first % 8))).count_ones());
    count -= u64::from((tail & !(0xff00u16 >> (last % 8 + 1)) as u8).count_ones());
    cx.work(((to - from) / WORK_BYTES) as u64);
    out.int(count as i64);
    Ok(())
}
