//! GETSET: a new string for the old one.

use swell_wire::{Args, Out};

use super::bulk;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::notify::Class;
use crate::spec::{Access, Acl, ArgKind, Body, Cost, Flags, Group, Long, Pricing, Spec, Spread, WorkUnit};

/// GETSET.
pub static GETSET: Spec = Spec {
    name: "getset",
    summary: "Stores a string at a key and answers the one that was there.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::String,
    arity: 3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("value", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::At(2),
    body: Body::Keys(getset),
};

fn getset(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let key = cx.key(args, 0);
    match cx.read(key) {
        Some(entry) => bulk(out, entry.string()?),
        None => out.null(),
    }
    cx.put(key, args.get(2).into(), Ttl::Clear, McField::Clear);
    cx.notify(Class::STRING, "set", key);
    Ok(())
}
