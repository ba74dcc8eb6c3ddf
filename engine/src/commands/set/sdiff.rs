//! SDIFF and SDIFFSTORE: the members of the first set that are in none of the others.

use swell_wire::{Args, Out};

use super::{KEYS, SOURCES, read_all, store, write_all};
use crate::bulk;
use crate::commands::grammar::{key_arg, keys_at, one_key};
use crate::exec::{Exec, Reply};
use crate::key::Hasher;
use crate::spec::*;
use crate::value::Collection;
use crate::value::element::Element;
use crate::value::set::{Lookup, Set, SetRef};

/// SDIFF.
pub static SDIFF: Spec = Spec {
    name: "sdiff",
    summary: "Answers the members of the first set that are in none of the others.",
    since: "1.0.0",
    complexity: "O(N) where N is the total number of elements in all given sets",
    group: Group::Set,
    arity: -2,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::SET).and(Acl::SLOW),
    keys: &[keys_at(1, -1, Access::Read, &["RO", "access"])],
    spread: Spread::Gather,
    tips: &["nondeterministic_output_order"],
    arguments: &[KEYS],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(sdiff, bulk::of_first::<0>),
};

/// SDIFFSTORE.
pub static SDIFFSTORE: Spec = Spec {
    name: "sdiffstore",
    summary: "Stores the members of the first set that are in none of the others.",
    since: "1.0.0",
    complexity: "O(N) where N is the total number of elements in all given sets",
    group: Group::Set,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::SET).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["OW", "update"]), keys_at(2, -1, Access::Read, &["RO", "access"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[key_arg("destination", 0), SOURCES],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(sdiffstore, bulk::of_first::<1>),
};

fn sdiff(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let engine = cx.engine;
    let sets = read_all(cx, args, 0)?;
    let mut difference = Vec::new();
    let work = subtract(&sets, engine.hasher(), |member| difference.push(member));
    write_all(&difference, out);
    cx.work(work);
    Ok(())
}

fn sdiffstore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let tools = cx.tools();
    let sets = read_all(cx, args, 1)?;
    let mut difference = Set::empty();
    let work = subtract(&sets, &tools.hasher, |member| difference.add_new(member, &tools));
    cx.work(work);
    store(cx, args, "sdiffstore", difference, out);
    Ok(())
}

/// Gives `each` the members of the first set that the others do not have. Returns the work beyond the first unit: a look
/// at each of its members in each of the others, whether the first of these ends the matter or not.
fn subtract<'a>(sets: &[Option<SetRef<'a>>], hasher: &Hasher, each: impl FnMut(Element<'a>)) -> u64 {
    let Some((Some(from), others)) = sets.split_first() else { return 0 };
    let others: Vec<Lookup<'a>> = others.iter().flatten().map(|set| set.for_lookups(from.len(), hasher)).collect();
    from.members().filter(|member| !others.iter().any(|other| other.has(*member, hasher))).for_each(each);
    (from.len() * others.len().max(1)).saturating_sub(1) as u64
}
