//! APPEND: more bytes at the end of a string.

use swell_wire::{Args, Out};

use super::check_length;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::notify::Class;
use crate::spec::{Access, Acl, ArgKind, Body, Cost, Flags, Group, Long, Pricing, Spec, Spread, WorkUnit};

/// APPEND.
pub static APPEND: Spec = Spec {
    name: "append",
    summary: "Adds bytes to the end of a string; a missing key starts out empty.",
    since: "2.0.0",
    complexity: "O(1) amortized, for short additions",
    group: Group::String,
    arity: 3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "insert"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("value", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::At(2),
    body: Body::Keys(append),
};

fn append(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (key, tail) = (cx.key(args, 0), args.get(2));
    let old = cx.write_lookup(key).map(|entry| entry.string()).transpose()?.map(|value| value.len());
    let len = match old {
        Some(old) => {
            check_length(cx, old, tail.len())?;
            cx.append(key, tail)
        }
        None => {
            cx.put(key, tail.into(), Ttl::Clear, McField::Clear);
            tail.len()
        }
    };
    cx.notify(Class::STRING, "append", key);
    out.int(len as i64);
    Ok(())
}
