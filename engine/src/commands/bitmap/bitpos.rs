//! BITPOS: the first bit that is set, or that is not.

use swell_wire::{Args, Out};

use super::bits::{Ranges, WORK_BYTES, byte_at, pieces};
use crate::bulk;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::entry::Value;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::number::parse_i64;
use crate::spec::*;

/// BITPOS.
pub static BITPOS: Spec = Spec {
    name: "bitpos",
    summary: "Finds the first bit that is set, or that is not.",
    since: "2.8.7",
    complexity: "O(N) where N is the number of bytes",
    group: Group::Bitmap,
    arity: -3,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::BITMAP).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("bit", ArgKind::Integer),
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
    body: Body::bulk(bitpos, bulk::of_scan),
};

/// Bit and range are read before the key is looked up. A missing key is zeroes without end, and so is what lies behind
/// a string, where no end was given.
fn bitpos(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let wanted = match parse_i64(args.slice(2)).ok_or(Fault::NotInteger)? {
        0 => false,
        1 => true,
        _ => return Err(Fault::say("ERR The bit argument must be 1 or 0.")),
    };
    let ranges = Ranges::parse(args, 3)?;
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        out.int(if wanted { -1 } else { 0 });
        return Ok(());
    };
    let value = entry.string()?;
    let Some((first, last)) = ranges.bits(value.len()) else {
        out.int(-1);
        return Ok(());
    };
    let found = find(value, wanted, first, last);
    let behind = (!wanted && !ranges.has_end()).then_some(last + 1);
    let found = found.or(behind);
    let visited = found.unwrap_or(last).saturating_sub(first) / 8;
    cx.work(visited / WORK_BYTES as u64);
    out.int(found.map_or(-1, |bit| bit as i64));
    Ok(())
}

/// The first such bit from `first` to `last`.
fn find(value: Value<'_>, wanted: bool, first: u64, last: u64) -> Option<u64> {
    // Looking for a zero is looking for a one in the opposite.
    let flip = if wanted { 0 } else { 0xff };
    let (from, to) = ((first / 8) as usize, (last / 8) as usize);
    let head = (byte_at(value, from) ^ flip) & (0xff >> (first % 8));
    let at = if head != 0 { from } else { from + 1 + first_other(value, from + 1, to + 1, flip)? };
    let byte = if at == from { head } else { byte_at(value, at) ^ flip };
    let bit = at as u64 * 8 + u64::from(byte.leading_zeros());
    (bit <= last).then_some(bit)
}

/// How many bytes from `from` on are `fill`, if not all up to `to` are.
fn first_other(value: Value<'_>, from: usize, to: usize, fill: u8) -> Option<usize> {
    let mut passed = 0;
    for piece in pieces(value, from, to) {
        let words = piece.chunks_exact(8).take_while(|word| **word == [fill; 8]).count();
        let rest = &piece[words * 8..];
        if let Some(at) = rest.iter().position(|byte| *byte != fill) {
            return Some(passed + words * 8 + at);
        }
        passed += piece.len();
    }
    None
}
