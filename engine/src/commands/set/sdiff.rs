//! SDIFF and SDIFFSTORE: the members of the first set that are in none of the others.

use swell_wire::{Args, Out};

use super::{KEYS, SOURCES, answer, read_all, store};
use crate::bulk;
use crate::commands::grammar::{key_arg, keys_at, one_key};
use crate::error::Fault;
use crate::exec::{Exec, Reply, Tools};
use crate::spec::*;
use crate::value::Collection;
use crate::value::element::DIGITS_MAX;
use crate::value::set::Set;

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
    let difference = difference(cx, args, 0)?;
    answer(difference.view(), out);
    Ok(())
}

fn sdiffstore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let difference = difference(cx, args, 1)?;
    store(cx, args, difference, out);
    Ok(())
}

/// Between the set at the `first` key and those at the keys behind it. The work is a look at each of its members in
/// each of the others, whether the first of these ends the matter or not.
fn difference(cx: &mut Exec<'_>, args: Args<'_>, first: usize) -> Result<Set, Fault> {
    let tools: Tools = cx.tools();
    let sets = read_all(cx, args, first)?;
    let mut difference = Set::empty();
    let Some((Some(from), others)) = sets.split_first() else { return Ok(difference) };
    for member in from.members() {
        if !others.iter().flatten().any(|other| other.has(member, &tools.hasher)) {
            difference.add(member.bytes(&mut [0; DIGITS_MAX]), &tools);
        }
    }
    let looks = from.len() * others.iter().flatten().count().max(1);
    cx.work(looks.saturating_sub(1) as u64);
    Ok(difference)
}
