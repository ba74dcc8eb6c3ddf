//! HINCRBY and HINCRBYFLOAT: arithmetic on the number in a field.

use swell_wire::{Arg, Args, Out};

use super::set_effect;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::commands::string::long_double::LongDouble;
use crate::error::Fault;
use crate::exec::{Change, Exec, Missing, Reply};
use crate::key::Key;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::element::{DIGITS_MAX, Element};
use crate::value::hash::Hash;
use crate::value::item::Item;

/// HINCRBY.
pub static HINCRBY: Spec = Spec {
    name: "hincrby",
    summary: "Adds a number to the integer in a field; a missing field counts as 0.",
    since: "2.0.0",
    complexity: "O(1)",
    group: Group::Hash,
    arity: 4,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("field", ArgKind::String), plain_arg("increment", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(hincrby),
};

/// HINCRBYFLOAT.
pub static HINCRBYFLOAT: Spec = Spec {
    name: "hincrbyfloat",
    summary: "Adds a number, which may have a fraction, to the number in a field; a missing field counts as 0.",
    since: "2.6.0",
    complexity: "O(1)",
    group: Group::Hash,
    arity: 4,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "access", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("field", ArgKind::String), plain_arg("increment", ArgKind::Double)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(hincrbyfloat),
};

fn hincrby(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let amount = parse_i64(args.slice(3)).ok_or(Fault::NotInteger)?;
    let new = change(cx, args, "hincrby", |old| {
        let old = old.map_or(Ok(0), |old| integer(old).ok_or(Fault::say("ERR hash value is not an integer")))?;
        let new = old.checked_add(amount).ok_or(Fault::Overflow)?;
        Ok((new, Element::Int(new).to_vec()))
    })?;
    out.int(new.unwrap_or_default());
    Ok(())
}

/// Adds in the precision of the x86 `long double`, as INCRBYFLOAT does.
fn hincrbyfloat(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let amount = LongDouble::parse(args.slice(3)).ok_or(Fault::NotFloat)?;
    if amount.add(LongDouble::ZERO).is_none() {
        return Err(Fault::say("ERR value is NaN or Infinity"));
    }
    let new = change(cx, args, "hincrbyfloat", |old| {
        let old =
            old.map_or(Ok(LongDouble::ZERO), |old| number(old).ok_or(Fault::say("ERR hash value is not a float")))?;
        let new = old.add(amount).ok_or(Fault::NanOrInfinity)?.to_string();
        Ok((new.clone(), new.into_bytes()))
    })?;
    out.bulk(new.unwrap_or_default().as_bytes());
    Ok(())
}

/// Gives the command's field the value that `next` makes of the one it has, or of none. Its expiry stays.
fn change<T>(
    cx: &mut Exec<'_>,
    args: Args<'_>,
    event: &str,
    next: impl FnOnce(Option<Item<'_>>) -> Result<(T, Vec<u8>), Fault>,
) -> Result<Option<T>, Fault> {
    let (key, field): (Key<'_>, &[u8]) = (cx.key(args, 0), args.slice(2));
    let is_told = cx.is_told();
    let edited = cx.edit::<Hash, _>(key, Missing::Create, |hash, tools| {
        let (reply, value) = next(hash.view().get(field, &tools.hasher, tools.now_ms))?;
        let value = Arg::Slice(&value);
        let expire_at_ms = hash.view().expiry(field, &tools.hasher, tools.now_ms).flatten();
        let change = match hash.view().is_volatile() {
            // A field that has expired counts as 0 here, and not where the command is replayed.
            true => tools.effect(|| set_effect(key, field, value, expire_at_ms)),
            false => Change::Verbatim,
        };
        let revives = is_told && hash.view().has_expired(field, &tools.hasher, tools.now_ms);
        hash.set(field, value, expire_at_ms, tools);
        Ok(((reply, revives), change))
    })?;
    Ok(edited.map(|(reply, revives)| {
        super::tell_set(cx, key, event, revives);
        reply
    }))
}

fn integer(value: Item<'_>) -> Option<i64> {
    match value {
        Item::Short(Element::Int(number)) => Some(number),
        Item::Short(Element::Str(bytes)) => parse_i64(bytes),
        Item::Long(_) => None,
    }
}

fn number(value: Item<'_>) -> Option<LongDouble> {
    match value {
        Item::Short(element) => LongDouble::parse(element.bytes(&mut [0; DIGITS_MAX])),
        Item::Long(_) => None,
    }
}
