//! decr and incr: an unsigned 64-bit number in an item, down to zero or up and around.

use swell_wire::memcached::number;
use swell_wire::out::format_u64;
use swell_wire::{Args, Out};

use super::doc::{COUNTED_KEY, KEY_DELTA};
use super::fault::{BAD_DELTA, NOT_NUMERIC, at_most};
use super::item;
use super::stat::McStat;
use crate::entry::{NewValue, Value};
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::notify::Class;
use crate::spec::*;

pub(super) static DECR: Spec = Spec {
    name: "decr",
    summary: "Subtracts from the number in an item, to zero at the lowest, and returns it.",
    since: "1.0",
    complexity: "O(1)",
    group: Group::Memcached,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::STRING,
    keys: COUNTED_KEY,
    spread: Spread::One,
    tips: &[],
    arguments: KEY_DELTA,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(decr),
};

pub(super) static INCR: Spec = Spec {
    name: "incr",
    summary: "Adds to the number in an item, modulo 2^64, and returns it.",
    since: "1.0",
    complexity: "O(1)",
    group: Group::Memcached,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::STRING,
    keys: COUNTED_KEY,
    spread: Spread::One,
    tips: &[],
    arguments: KEY_DELTA,
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(incr),
};

/// What one of the two does, and what it counts.
struct Step {
    of: fn(u64, u64) -> u64,
    hits: McStat,
    misses: McStat,
}

const DOWN: Step = Step { of: u64::saturating_sub, hits: McStat::DecrHits, misses: McStat::DecrMisses };
const UP: Step = Step { of: u64::wrapping_add, hits: McStat::IncrHits, misses: McStat::IncrMisses };

fn decr(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    change(cx, args, out, &DOWN)
}

fn incr(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    change(cx, args, out, &UP)
}

fn change(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, step: &Step) -> Reply {
    // Memcached lets one word more than the delta pass.
    at_most(args, 4)?;
    let delta = number::unsigned(args.slice(2)).ok_or(BAD_DELTA)?;
    let key = cx.key(args, 0);
    let Some(entry) = cx.write_lookup(key) else {
        cx.count(step.misses);
        out.raw(b"NOT_FOUND\r\n");
        return Ok(());
    };
    let Value::Slice(old) = item::string(&entry)? else { return Err(NOT_NUMERIC) };
    let (number, len) = (stored_number(old).ok_or(NOT_NUMERIC)?, old.len());
    let mut digits = [0; 20];
    let digits = format_u64((step.of)(number, delta), &mut digits);
    if digits.len() < len {
        cx.put(key, NewValue::Bytes(&padded(digits, len)), Ttl::Keep, McField::Keep);
    } else {
        cx.put(key, NewValue::Bytes(digits), Ttl::Keep, McField::Keep);
    }
    cx.notify(Class::STRING, "incrby", key);
    cx.count(step.hits);
    out.raw(digits);
    out.raw(b"\r\n");
    Ok(())
}

/// The number at the front of a value; clients in C like to store the NUL at its end, too.
fn stored_number(value: &[u8]) -> Option<u64> {
    number::unsigned(value.split(|&byte| byte == 0).next()?)
}

/// Memcached never shortens an item here: what the new number no longer fills becomes spaces.
fn padded(digits: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = vec![b' '; len];
    bytes[..digits.len()].copy_from_slice(digits);
    bytes
}
