//! SETBIT: one bit, in place.

use swell_wire::{Arg, Args, Out};

use super::bits::{bit_of, byte_at, grow, offset};
use crate::bulk;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;

/// SETBIT.
pub static SETBIT: Spec = Spec {
    name: "setbit",
    summary: "Sets or clears one bit of a string, lengthening it where needed.",
    since: "2.2.0",
    complexity: "O(1)",
    group: Group::Bitmap,
    arity: 4,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::BITMAP).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["RW", "access", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("offset", ArgKind::Integer), plain_arg("value", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::bulk(setbit, size),
};

fn size(cx: &Exec<'_>, args: Args<'_>) -> usize {
    let offset = parse_i64(args.slice(2)).and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0);
    bulk::of_growth(cx, args, offset / 8)
}

/// A string that is too short is lengthened for a zero too.
fn setbit(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    const BAD_BIT: Fault = Fault::say("ERR bit is not an integer or out of range");
    let offset = offset(cx, args.slice(2), None)?;
    let is_set = match parse_i64(args.slice(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(BAD_BIT),
    };
    let (key, at) = (cx.key(args, 0), (offset / 8) as usize);
    let old = cx.write_lookup(key).map(|entry| entry.string()).transpose()?;
    let (len, byte) = (old.map(|value| value.len()), old.map_or(0, |value| byte_at(value, at)));
    let new = if is_set { byte | bit_of(offset) } else { byte & !bit_of(offset) };
    grow(cx, key, len, at + 1);
    if new != byte {
        cx.write_range(key, at, Arg::Slice(&[new]));
    }
    if new != byte || len.is_none_or(|len| len <= at) {
        cx.notify(Class::STRING, "setbit", key);
    }
    out.int((byte & bit_of(offset) != 0).into());
    Ok(())
}
