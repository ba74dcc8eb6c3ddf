//! HTTL, HPTTL, HEXPIRETIME, HPEXPIRETIME: when fields of a hash expire.

use swell_wire::{Args, Out};

use super::{FIELDS, plain_fields, read};
use crate::commands::grammar::{KEY, one_key};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// HEXPIRETIME.
pub static HEXPIRETIME: Spec = Spec {
    name: "hexpiretime",
    summary: "Answers the Unix times in seconds at which fields of a hash expire.",
    since: "9.0.0",
    complexity: "O(N) where N is the number of specified fields",
    group: Group::Hash,
    arity: -5,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, FIELDS],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hexpiretime),
};

/// HPEXPIRETIME.
pub static HPEXPIRETIME: Spec = Spec {
    name: "hpexpiretime",
    summary: "Answers the Unix times in milliseconds at which fields of a hash expire.",
    since: "9.0.0",
    complexity: "O(N) where N is the number of specified fields",
    group: Group::Hash,
    arity: -5,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, FIELDS],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hpexpiretime),
};

/// HPTTL.
pub static HPTTL: Spec = Spec {
    name: "hpttl",
    summary: "Answers after how many milliseconds fields of a hash expire.",
    since: "9.0.0",
    complexity: "O(N) where N is the number of specified fields",
    group: Group::Hash,
    arity: -5,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, FIELDS],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hpttl),
};

/// HTTL.
pub static HTTL: Spec = Spec {
    name: "httl",
    summary: "Answers after how many seconds fields of a hash expire.",
    since: "9.0.0",
    complexity: "O(N) where N is the number of specified fields",
    group: Group::Hash,
    arity: -5,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, FIELDS],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(httl),
};

const NO_FIELD: i64 = -2;
const NEVER: i64 = -1;

fn httl(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let now_ms = cx.now_ms();
    answer(cx, args, out, |at_ms| seconds(at_ms.saturating_sub(now_ms)))
}

fn hpttl(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let now_ms = cx.now_ms();
    answer(cx, args, out, |at_ms| at_ms.saturating_sub(now_ms))
}

fn hexpiretime(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    answer(cx, args, out, seconds)
}

fn hpexpiretime(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    answer(cx, args, out, |at_ms| at_ms)
}

fn answer(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, told: impl Fn(u64) -> u64) -> Reply {
    let fields = plain_fields(args, Fault::Syntax)?;
    let (engine, now_ms) = (cx.engine, cx.now_ms());
    let hash = read(cx, args)?;
    out.array(fields.len());
    for field in fields.iter() {
        out.int(match hash.and_then(|hash| hash.expiry(field, engine.hasher(), now_ms)) {
            None => NO_FIELD,
            Some(None) => NEVER,
            Some(Some(at_ms)) => i64::try_from(told(at_ms)).unwrap_or(i64::MAX),
        });
    }
    cx.work(fields.len() as u64 - 1);
    Ok(())
}

/// Rounded to the nearest.
fn seconds(ms: u64) -> u64 {
    ms.saturating_add(500) / 1000
}
