//! HSETNX: setting a field that is not there.

use swell_wire::{Args, Out};

use super::set_effect;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Change, Exec, Missing, Reply};
use crate::spec::*;
use crate::value::hash::Hash;

/// HSETNX.
pub static HSETNX: Spec = Spec {
    name: "hsetnx",
    summary: "Sets a field of a hash, unless it is there already.",
    since: "2.0.0",
    complexity: "O(1)",
    group: Group::Hash,
    arity: 4,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "insert"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("field", ArgKind::String), plain_arg("value", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::At(3),
    body: Body::Keys(hsetnx),
};

fn hsetnx(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (key, field, value) = (cx.key(args, 0), args.slice(2), args.get(3));
    let is_told = cx.is_told();
    let done = cx.edit::<Hash, _>(key, Missing::Create, |hash, tools| {
        if hash.view().contains(field, &tools.hasher, tools.now_ms) {
            return Ok(((false, false), Change::None));
        }
        // Where nothing expires the field may still be there.
        let change = match hash.view().is_volatile() {
            true => tools.effect(|| set_effect(key, field, value, None)),
            false => Change::Verbatim,
        };
        let revives = is_told && hash.view().has_expired(field, &tools.hasher, tools.now_ms);
        hash.set(field, value, None, tools);
        Ok(((true, revives), change))
    })?;
    let (added, revives) = done.unwrap_or((false, false));
    if added {
        super::tell_set(cx, key, "hset", revives);
    }
    out.int(i64::from(added));
    Ok(())
}
