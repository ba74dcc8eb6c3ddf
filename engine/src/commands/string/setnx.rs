//! SETNX: a string at a key that is not there yet.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::notify::Class;
use crate::spec::{Access, Acl, ArgKind, Body, Cost, Flags, Group, Long, Pricing, Spec, Spread, WorkUnit};

/// SETNX.
pub static SETNX: Spec = Spec {
    name: "setnx",
    summary: "Stores a string at a key, unless the key is there already.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::String,
    arity: 3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["OW", "insert"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("value", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::At(2),
    body: Body::Keys(setnx),
};

fn setnx(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let key = cx.key(args, 0);
    let found = cx.write_lookup(key).is_some();
    if !found {
        cx.put(key, args.get(2).into(), Ttl::Clear, McField::Clear);
        cx.notify(Class::STRING, "set", key);
    }
    out.int(i64::from(!found));
    Ok(())
}
