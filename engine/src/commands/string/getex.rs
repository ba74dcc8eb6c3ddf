//! GETEX: the string at a key, and a new expiry for it.

use swell_wire::{Args, Out};

use super::bulk;
use super::set_options::{OptionsOf, SetOptions};
use crate::commands::grammar::{KEY, choice, one_key, token};
use crate::exec::{Exec, Reply};
use crate::notify::Class;
use crate::spec::{
    Access, Acl, ArgDoc, ArgKind, Body, Cost, Flags, Group, KeySpec, Long, Pricing, Spec, Spread, WorkUnit,
};

/// GETEX.
pub static GETEX: Spec = Spec {
    name: "getex",
    summary: "Answers the string at a key and changes when the key expires.",
    since: "6.2.0",
    complexity: "O(1)",
    group: Group::String,
    arity: -2,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::FAST),
    keys: &[KeySpec {
        notes: "RW and UPDATE because it changes the TTL",
        ..one_key(Access::Write, &["RW", "access", "update"])
    }],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, choice("expiration", EXPIRATION)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(getex),
};

const EXPIRATION: &[ArgDoc] = &[
    token("EX", "", "seconds", ArgKind::Integer),
    token("PX", "", "milliseconds", ArgKind::Integer),
    token("EXAT", "", "unix-time-seconds", ArgKind::UnixTime),
    token("PXAT", "", "unix-time-milliseconds", ArgKind::UnixTime),
    token("PERSIST", "", "persist", ArgKind::PureToken),
];

/// The expiry is read before the key is looked up, as Valkey does; Redis 7 answers null for a missing key first.
fn getex(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let options = SetOptions::parse(args, 2, OptionsOf::GetEx)?;
    let expire_at_ms = options.expire_at_ms(cx.now_ms(), "getex")?;
    let key = cx.key(args, 0);
    let expires = match cx.read(key) {
        Some(entry) => {
            bulk(out, entry.string()?);
            entry.expire_at_ms().is_some()
        }
        None => {
            out.null();
            return Ok(());
        }
    };
    match expire_at_ms {
        Some(at_ms) if at_ms <= cx.now_ms() => {
            cx.remove(key);
            cx.notify(Class::EXPIRED, "expired", key);
        }
        Some(at_ms) => {
            cx.set_expiry(key, Some(at_ms));
            cx.notify(Class::GENERIC, "expire", key);
        }
        None if options.persists() && expires => {
            cx.set_expiry(key, None);
            cx.notify(Class::GENERIC, "persist", key);
        }
        None => {}
    }
    Ok(())
}
