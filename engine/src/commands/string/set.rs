//! SET: a string at a key.

use swell_wire::{Args, Out};

use super::set_options::{OptionsOf, SetOptions};
use super::{bulk, is_equal};
use crate::commands::grammar::{KEY, choice, one_key, plain_arg, token};
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::notify::Class;
use crate::spec::{
    Access, Acl, ArgDoc, ArgKind, Body, Cost, Flags, Group, KeySpec, Long, Pricing, Spec, Spread, WorkUnit,
};

/// SET.
pub static SET: Spec = Spec {
    name: "set",
    summary: "Stores a string at a key, whatever was there before.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::String,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::SLOW),
    keys: &[KeySpec {
        notes: "RW and ACCESS due to the optional `GET` argument",
        ..one_key(Access::Write, &["RW", "access", "update", "variable_flags"])
    }],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("value", ArgKind::String),
        choice("condition", CONDITION),
        ArgDoc { optional: true, ..token("GET", "6.2.0", "get", ArgKind::PureToken) },
        choice("expiration", EXPIRATION),
    ],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::At(2),
    body: Body::Keys(set),
};

const CONDITION: &[ArgDoc] = &[
    token("NX", "2.6.12", "nx", ArgKind::PureToken),
    token("XX", "2.6.12", "xx", ArgKind::PureToken),
    token("IFEQ", "8.1.0", "comparison-value", ArgKind::String),
];
const EXPIRATION: &[ArgDoc] = &[
    token("EX", "2.6.12", "seconds", ArgKind::Integer),
    token("PX", "2.6.12", "milliseconds", ArgKind::Integer),
    token("EXAT", "6.2.0", "unix-time-seconds", ArgKind::UnixTime),
    token("PXAT", "6.2.0", "unix-time-milliseconds", ArgKind::UnixTime),
    token("KEEPTTL", "6.0.0", "keepttl", ArgKind::PureToken),
];

#[inline]
fn set(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    // One branch for both: what is told of need not be as quick.
    if (args.len() > 3) | cx.is_told() {
        return set_with_options(cx, args, out);
    }
    cx.put_untold(cx.key(args, 0), args.get(2).into(), Ttl::Clear, McField::Clear);
    out.ok();
    Ok(())
}

/// Syntax first, then the expiry, then (with GET or IFEQ) the type of what is there, then the condition.
#[inline(never)]
fn set_with_options(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let options = SetOptions::parse(args, 3, OptionsOf::Set)?;
    let expire_at_ms = options.expire_at_ms(cx.now_ms(), "set")?;
    let key = cx.key(args, 0);
    // Only GET counts as a read of the key.
    let old = if options.get { cx.read(key) } else { cx.write_lookup(key) };
    let mut admits = options.admits(old.is_some());
    if let (Some(expected), Some(entry)) = (options.expected(), &old) {
        admits = is_equal(entry.string()?, expected);
    }
    if options.get {
        match old {
            Some(entry) => bulk(out, entry.string()?),
            None => out.null(),
        }
    }
    if !admits {
        if !options.get {
            out.null();
        }
        return Ok(());
    }
    match expire_at_ms {
        Some(at_ms) if at_ms <= cx.now_ms() => {
            if cx.remove(key) {
                cx.notify(Class::EXPIRED, "expired", key);
            }
        }
        _ => {
            cx.put(key, args.get(2).into(), options.ttl(expire_at_ms), McField::Clear);
            cx.notify(Class::STRING, "set", key);
            if expire_at_ms.is_some() {
                cx.notify(Class::GENERIC, "expire", key);
            }
        }
    }
    if !options.get {
        out.ok();
    }
    Ok(())
}
