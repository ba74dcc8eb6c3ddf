//! SETEX and PSETEX: a string at a key, for a while.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::commands::options::{TimeBase, TimeUnit, expire_at};
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::notify::Class;
use crate::spec::{Access, Acl, ArgKind, Body, Cost, Flags, Group, Long, Pricing, Spec, Spread, WorkUnit};

/// PSETEX.
pub static PSETEX: Spec = Spec {
    name: "psetex",
    summary: "Stores a string at a key that expires after so many milliseconds.",
    since: "2.6.0",
    complexity: "O(1)",
    group: Group::String,
    arity: 4,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["OW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("milliseconds", ArgKind::Integer), plain_arg("value", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::At(3),
    body: Body::Keys(psetex),
};

/// SETEX.
pub static SETEX: Spec = Spec {
    name: "setex",
    summary: "Stores a string at a key that expires after so many seconds.",
    since: "2.0.0",
    complexity: "O(1)",
    group: Group::String,
    arity: 4,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["OW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("seconds", ArgKind::Integer), plain_arg("value", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::At(3),
    body: Body::Keys(setex),
};

fn setex(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let at_ms = expire_at(args.slice(2), TimeUnit::Seconds, TimeBase::Now, cx.now_ms(), "setex")?;
    put_until(cx, args, out, at_ms)
}

fn psetex(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let at_ms = expire_at(args.slice(2), TimeUnit::Millis, TimeBase::Now, cx.now_ms(), "psetex")?;
    put_until(cx, args, out, at_ms)
}

fn put_until(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, at_ms: u64) -> Reply {
    let key = cx.key(args, 0);
    cx.put(key, args.get(3).into(), Ttl::At(at_ms), McField::Clear);
    cx.notify(Class::STRING, "set", key);
    cx.notify(Class::GENERIC, "expire", key);
    out.ok();
    Ok(())
}
