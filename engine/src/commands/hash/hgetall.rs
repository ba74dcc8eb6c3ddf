//! HGETALL, HKEYS, HVALS: all of a hash.

use swell_wire::{Args, Out};

use super::read;
use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::hash::Field;
use crate::value::item::Item;

/// HGETALL.
pub static HGETALL: Spec = Spec {
    name: "hgetall",
    summary: "Answers all fields of a hash with their values.",
    since: "2.0.0",
    complexity: "O(N) where N is the size of the hash",
    group: Group::Hash,
    arity: 2,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::HASH).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output_order"],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hgetall),
};

/// HKEYS.
pub static HKEYS: Spec = Spec {
    name: "hkeys",
    summary: "Answers the names of all fields of a hash.",
    since: "2.0.0",
    complexity: "O(N) where N is the size of the hash",
    group: Group::Hash,
    arity: 2,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::HASH).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output_order"],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hkeys),
};

/// HVALS.
pub static HVALS: Spec = Spec {
    name: "hvals",
    summary: "Answers the values of all fields of a hash.",
    since: "2.0.0",
    complexity: "O(N) where N is the size of the hash",
    group: Group::Hash,
    arity: 2,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::HASH).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output_order"],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(hvals),
};

fn hgetall(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let now_ms = cx.now_ms();
    let Some(hash) = read(cx, args)? else {
        out.map(0);
        return Ok(());
    };
    let count = hash.living(now_ms);
    out.map(count);
    for field in hash.fields(now_ms) {
        field.name.write(out);
        field.value.write(out);
    }
    cx.work(count.saturating_sub(1) as u64);
    Ok(())
}

fn hkeys(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    each(cx, args, out, |field| field.name)
}

fn hvals(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    each(cx, args, out, |field| field.value)
}

#[inline]
fn each(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out, part: impl Fn(Field<'_>) -> Item<'_>) -> Reply {
    let now_ms = cx.now_ms();
    let Some(hash) = read(cx, args)? else {
        out.array(0);
        return Ok(());
    };
    let count = hash.living(now_ms);
    out.array(count);
    hash.fields(now_ms).for_each(|field| part(field).write(out));
    cx.work(count.saturating_sub(1) as u64);
    Ok(())
}
