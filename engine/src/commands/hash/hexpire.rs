//! HEXPIRE and its three siblings: when fields of a hash expire.

use swell_wire::{Args, Out};

use super::{CONDITIONS, FIELDS, WRONG_NUMBER, counted, delete_effect, expire_time, expiry_effect, find_fields};
use crate::commands::generic::expire::Condition;
use crate::commands::grammar::{KEY, choice, one_key, plain_arg};
use crate::commands::options::{TimeBase, TimeUnit};
use crate::exec::{Change, Exec, Missing, Reply, Tools};
use crate::notify::Class;
use crate::spec::*;
use crate::value::hash::Hash;

/// HEXPIRE.
pub static HEXPIRE: Spec = Spec {
    name: "hexpire",
    summary: "Lets fields of a hash expire after some seconds.",
    since: "9.0.0",
    complexity: "O(N) where N is the number of specified fields",
    group: Group::Hash,
    arity: -6,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("seconds", ArgKind::Integer), choice("condition", CONDITIONS), FIELDS],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hexpire),
};

/// HEXPIREAT.
pub static HEXPIREAT: Spec = Spec {
    name: "hexpireat",
    summary: "Lets fields of a hash expire at a Unix time in seconds.",
    since: "9.0.0",
    complexity: "O(N) where N is the number of specified fields",
    group: Group::Hash,
    arity: -6,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("unix-time-seconds", ArgKind::Integer),
        ArgDoc { since: "9.0.0", ..choice("condition", CONDITIONS) },
        FIELDS,
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hexpireat),
};

/// HPEXPIRE.
pub static HPEXPIRE: Spec = Spec {
    name: "hpexpire",
    summary: "Lets fields of a hash expire after some milliseconds.",
    since: "9.0.0",
    complexity: "O(N) where N is the number of specified fields",
    group: Group::Hash,
    arity: -6,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("milliseconds", ArgKind::Integer),
        ArgDoc { since: "9.0.0", ..choice("condition", CONDITIONS) },
        FIELDS,
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hpexpire),
};

/// HPEXPIREAT.
pub static HPEXPIREAT: Spec = Spec {
    name: "hpexpireat",
    summary: "Lets fields of a hash expire at a Unix time in milliseconds.",
    since: "9.0.0",
    complexity: "O(N) where N is the number of specified fields",
    group: Group::Hash,
    arity: -6,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[
        KEY,
        plain_arg("unix-time-milliseconds", ArgKind::Integer),
        ArgDoc { since: "9.0.0", ..choice("condition", CONDITIONS) },
        FIELDS,
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hpexpireat),
};

/// What is answered for each field.
const NO_FIELD: i64 = -2;
const NOT_ALLOWED: i64 = 0;
const SET: i64 = 1;
const DELETED: i64 = 2;

fn hexpire(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    set_expiries(cx, args, out, TimeUnit::Seconds, TimeBase::Now, "hexpire")
}

fn hexpireat(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    set_expiries(cx, args, out, TimeUnit::Seconds, TimeBase::Epoch, "hexpireat")
}

fn hpexpire(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    set_expiries(cx, args, out, TimeUnit::Millis, TimeBase::Now, "hpexpire")
}

fn hpexpireat(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    set_expiries(cx, args, out, TimeUnit::Millis, TimeBase::Epoch, "hpexpireat")
}

/// All fields get the same time; one that has passed removes them.
fn set_expiries(
    cx: &mut Exec<'_>,
    args: Args<'_>,
    out: &mut Out,
    unit: TimeUnit,
    base: TimeBase,
    command: &'static str,
) -> Reply {
    let at = find_fields(args, 3).ok_or(WRONG_NUMBER)?;
    let condition = Condition::parse((3..at).map(|word| args.slice(word)))?;
    let fields = counted(args, at, 1, WRONG_NUMBER)?;
    let at_ms = expire_time(args.slice(2), unit, base, cx, command)?;
    let key = cx.key(args, 0);
    let edited = cx.edit::<Hash, _>(key, Missing::Skip, |hash, tools| {
        out.array(fields.len());
        let mut changed: Vec<&[u8]> = Vec::new();
        for field in fields.iter() {
            let done = set_expiry(hash, field, at_ms, condition, tools);
            out.int(done);
            if done > NOT_ALLOWED {
                changed.push(field);
            }
        }
        let change = match changed.is_empty() {
            true => Change::None,
            false if at_ms <= tools.now_ms => tools.effect(|| delete_effect(key, &changed)),
            false => tools.effect(|| expiry_effect(key, Some(at_ms), &changed)),
        };
        Ok((!changed.is_empty(), change))
    })?;
    match edited {
        Some(true) if at_ms <= cx.now_ms() => cx.notify_taken(Class::HASH, "hexpired", key),
        Some(true) => cx.notify(Class::HASH, "hexpire", key),
        Some(false) => {}
        None => {
            out.array(fields.len());
            fields.iter().for_each(|_| out.int(NO_FIELD));
        }
    }
    cx.work(fields.len() as u64 - 1);
    Ok(())
}

fn set_expiry(hash: &mut Hash, field: &[u8], at_ms: u64, condition: Condition, tools: &Tools) -> i64 {
    let Some(current_ms) = hash.view().expiry(field, &tools.hasher, tools.now_ms) else { return NO_FIELD };
    if !condition.allows(current_ms, i64::try_from(at_ms).unwrap_or(i64::MAX)) {
        return NOT_ALLOWED;
    }
    if at_ms <= tools.now_ms {
        hash.remove(field, tools);
        return DELETED;
    }
    hash.set_expiry(field, Some(at_ms), tools);
    SET
}
