//! HSET and its old name HMSET: setting fields.

use swell_wire::{Args, Out};

use super::PAIRS;
use crate::commands::grammar::{KEY, one_key};
use crate::error::Fault;
use crate::exec::{Change, Exec, Missing, Reply};
use crate::spec::*;
use crate::value::hash::Hash;

/// HMSET.
pub static HMSET: Spec = Spec {
    name: "hmset",
    summary: "Sets several fields of a hash; the old name of HSET.",
    since: "2.0.0",
    complexity: "O(N) where N is the number of fields being set",
    group: Group::Hash,
    arity: -4,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, PAIRS],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::EverySecond(3),
    body: Body::Keys(hmset),
};

/// HSET.
pub static HSET: Spec = Spec {
    name: "hset",
    summary: "Sets fields of a hash to values, without expiry.",
    since: "2.0.0",
    complexity: "O(1) for each field/value pair added, so O(N) to add N field/value pairs when the command is called with multiple field/value pairs",
    group: Group::Hash,
    arity: -4,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, PAIRS],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Element },
    long: Long::EverySecond(3),
    body: Body::Keys(hset),
};

fn hset(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let added = set(cx, args, "hset")?;
    out.int(added as i64);
    Ok(())
}

fn hmset(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    set(cx, args, "hmset")?;
    out.ok();
    Ok(())
}

/// Returns how many fields are new.
fn set(cx: &mut Exec<'_>, args: Args<'_>, command: &'static str) -> Result<usize, Fault> {
    if !args.len().is_multiple_of(2) {
        return Err(Fault::WrongArity(command));
    }
    let pairs = (args.len() - 2) / 2;
    let (key, is_told) = (cx.key(args, 0), cx.is_told());
    let done = cx.edit::<Hash, _>(key, Missing::Create, |hash, tools| {
        if pairs > 1 {
            let longest = (2..args.len()).map(|at| args.get(at).len()).max();
            hash.make_room(pairs, longest.unwrap_or(0), tools);
        }
        let has_expired = |pair: usize| hash.view().has_expired(args.slice(2 + 2 * pair), &tools.hasher, tools.now_ms);
        let revives = is_told && (0..pairs).any(has_expired);
        let new = (0..pairs).filter(|pair| hash.set(args.slice(2 + 2 * pair), args.get(3 + 2 * pair), None, tools));
        Ok(((new.count(), revives), Change::Verbatim))
    })?;
    cx.work(pairs as u64 - 1);
    let (added, revives) = done.unwrap_or((0, false));
    super::tell_set(cx, key, "hset", revives);
    Ok(added)
}
