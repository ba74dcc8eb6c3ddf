//! INCRBYFLOAT: arithmetic on a string that holds a floating-point number.

use swell_wire::{Args, Out};

use super::long_double::LongDouble;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::entry::{NewValue, Value};
use crate::error::Fault;
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::notify::Class;
use crate::spec::{Access, Acl, ArgKind, Body, Cost, Flags, Group, Long, Pricing, Spec, Spread, WorkUnit};

/// INCRBYFLOAT.
pub static INCRBYFLOAT: Spec = Spec {
    name: "incrbyfloat",
    summary: "Adds a floating-point number to the one at a key; a missing key counts as 0.",
    since: "2.6.0",
    complexity: "O(1)",
    group: Group::String,
    arity: 3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("increment", ArgKind::Double)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(incrbyfloat),
};

/// Adds in the precision of the x86 `long double`, which is what users of the real servers see in the last digits.
fn incrbyfloat(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let key = cx.key(args, 0);
    let old = match cx.write_lookup(key) {
        Some(entry) => Some(number(entry.string()?)?),
        None => None,
    };
    let amount = LongDouble::parse(args.slice(2)).ok_or(Fault::NotFloat)?;
    let new = old.unwrap_or(LongDouble::ZERO).add(amount).ok_or(Fault::NanOrInfinity)?.to_string();
    cx.put(key, NewValue::Bytes(new.as_bytes()), Ttl::Keep, McField::Keep);
    cx.notify(Class::STRING, "incrbyfloat", key);
    out.bulk(new.as_bytes());
    Ok(())
}

fn number(value: Value<'_>) -> Result<LongDouble, Fault> {
    match value {
        Value::Slice(bytes) => LongDouble::parse(bytes).ok_or(Fault::NotFloat),
        Value::Segments(_) => Err(Fault::NotFloat),
    }
}
