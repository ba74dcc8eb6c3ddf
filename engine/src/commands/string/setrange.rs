//! SETRANGE: bytes over a part of a string.

use swell_wire::{Args, Out};

use super::check_length;
use crate::bulk;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::entry::NewValue;
use crate::error::Fault;
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::{Access, Acl, ArgKind, Body, Cost, Flags, Group, Long, Pricing, Spec, Spread, WorkUnit};

/// SETRANGE.
pub static SETRANGE: Spec = Spec {
    name: "setrange",
    summary: "Overwrites a string from an offset on, lengthening it where needed.",
    since: "2.2.0",
    complexity: "O(1), and O(M) for a value of length M",
    group: Group::String,
    arity: 4,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("offset", ArgKind::Integer), plain_arg("value", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::At(3),
    body: Body::bulk(setrange, size),
};

fn size(cx: &Exec<'_>, args: Args<'_>) -> usize {
    let offset = parse_i64(args.slice(2)).and_then(|offset| usize::try_from(offset).ok()).unwrap_or(0);
    bulk::of_growth(cx, args, offset)
}

/// The offset is read and its sign checked before the key is looked up; the length only where something is written.
fn setrange(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let offset = parse_i64(args.slice(2)).ok_or(Fault::NotInteger)?;
    let offset = usize::try_from(offset).map_err(|_| Fault::OffsetOutOfRange)?;
    let (key, patch) = (cx.key(args, 0), args.get(3));
    let old = cx.write_lookup(key).map(|entry| entry.string()).transpose()?.map(|value| value.len());
    if patch.is_empty() {
        out.int(old.unwrap_or(0) as i64);
        return Ok(());
    }
    check_length(cx, offset, patch.len())?;
    if old.is_none() {
        cx.put(key, NewValue::Bytes(b""), Ttl::Clear, McField::Clear);
    }
    let len = cx.write_range(key, offset, patch);
    cx.notify(Class::STRING, "setrange", key);
    out.int(len as i64);
    Ok(())
}
