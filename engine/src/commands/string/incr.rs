//! INCR, DECR, INCRBY, DECRBY: arithmetic on a string that holds an integer.

use swell_wire::out::format_i64;
use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::entry::{NewValue, Value};
use crate::error::Fault;
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::{Access, Acl, ArgKind, Body, Cost, Flags, Group, Long, Pricing, Spec, Spread, WorkUnit};

/// DECR.
pub static DECR: Spec = Spec {
    name: "decr",
    summary: "Subtracts one from the integer at a key; a missing key counts as 0.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::String,
    arity: 2,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(decr),
};

/// DECRBY.
pub static DECRBY: Spec = Spec {
    name: "decrby",
    summary: "Subtracts a number from the integer at a key; a missing key counts as 0.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::String,
    arity: 3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("decrement", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(decrby),
};

/// INCR.
pub static INCR: Spec = Spec {
    name: "incr",
    summary: "Adds one to the integer at a key; a missing key counts as 0.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::String,
    arity: 2,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(incr),
};

/// INCRBY.
pub static INCRBY: Spec = Spec {
    name: "incrby",
    summary: "Adds a number to the integer at a key; a missing key counts as 0.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::String,
    arity: 3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("increment", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(incrby),
};

fn incr(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    add(cx, args, out, 1)
}

fn decr(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    add(cx, args, out, -1)
}

fn incrby(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let amount = parse_i64(args.slice(2)).ok_or(Fault::NotInteger)?;
    add(cx, args, out, amount)
}

fn decrby(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let amount = parse_i64(args.slice(2)).ok_or(Fault::NotInteger)?;
    let amount = amount.checked_neg().ok_or(Fault::say("ERR decrement would overflow"))?;
    add(cx, args, out, amount)
}

/// Adds to the integer at the command's key, keeping its expiry.
fn add(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, amount: i64) -> Reply {
    let key = cx.key(args, 0);
    let old = match cx.write_lookup(key) {
        Some(entry) => integer(entry.string()?)?,
        None => 0,
    };
    let new = old.checked_add(amount).ok_or(Fault::Overflow)?;
    let mut digits = [0; 20];
    cx.put(key, NewValue::Bytes(format_i64(new, &mut digits)), Ttl::Keep, McField::Keep);
    cx.notify(Class::STRING, "incrby", key);
    out.int(new);
    Ok(())
}

#[inline]
fn integer(value: Value<'_>) -> Result<i64, Fault> {
    match value {
        Value::Slice(bytes) => parse_i64(bytes).ok_or(Fault::NotInteger),
        Value::Segments(_) => Err(Fault::NotInteger),
    }
}
