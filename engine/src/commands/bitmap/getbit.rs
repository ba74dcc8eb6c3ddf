//! GETBIT: one bit.

use swell_wire::{Args, Out};

use super::bits::{bit_of, byte_at, offset};
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// GETBIT.
pub static GETBIT: Spec = Spec {
    name: "getbit",
    summary: "Reads one bit of a string.",
    since: "2.2.0",
    complexity: "O(1)",
    group: Group::Bitmap,
    arity: 3,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::BITMAP).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("offset", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(getbit),
};

fn getbit(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let offset = offset(cx, args.slice(2), None)?;
    let byte = match cx.read(cx.key(args, 0)) {
        Some(entry) => byte_at(entry.string()?, (offset / 8) as usize),
        None => 0,
    };
    out.int((byte & bit_of(offset) != 0).into());
    Ok(())
}
