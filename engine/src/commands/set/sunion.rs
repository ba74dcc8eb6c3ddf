//! SUNION and SUNIONSTORE: the members of all sets together.

use swell_wire::{Args, Out};

use super::{KEYS, SOURCES, answer, read_all, store, total};
use crate::bulk;
use crate::commands::grammar::{key_arg, keys_at, one_key};
use crate::error::Fault;
use crate::exec::{Exec, Reply, Tools};
use crate::spec::*;
use crate::value::Collection;
use crate::value::element::DIGITS_MAX;
use crate::value::set::{Set, SetRef};

/// SUNION.
pub static SUNION: Spec = Spec {
    name: "sunion",
    summary: "Answers the members of all sets together.",
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
    body: Body::bulk(sunion, bulk::of_all::<0>),
};

/// SUNIONSTORE.
pub static SUNIONSTORE: Spec = Spec {
    name: "sunionstore",
    summary: "Stores the members of all sets together.",
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
    body: Body::bulk(sunionstore, bulk::of_all::<1>),
};

fn sunion(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let union = union(cx, args, 0)?;
    answer(union.view(), out);
    Ok(())
}

fn sunionstore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let union = union(cx, args, 1)?;
    store(cx, args, union, out);
    Ok(())
}

/// Of the sets at the keys from the `first` on.
fn union(cx: &mut Exec<'_>, args: Args<'_>, first: usize) -> Result<Set, Fault> {
    let tools = cx.tools();
    let sets = read_all(cx, args, first)?;
    let visited = total(&sets);
    let union = together(&sets, &tools);
    cx.work(visited.saturating_sub(1) as u64);
    Ok(union)
}

/// Begins with the largest set where the union will be large in any case: a copy shares its pages. Else with an empty
/// one, whose form then follows from what is added.
fn together(sets: &[Option<SetRef<'_>>], tools: &Tools) -> Set {
    let compact_max = tools.limits.set_ints.max(tools.limits.set_entries);
    let largest = (0..sets.len()).max_by_key(|&at| sets[at].map_or(0, |set| set.len()));
    let begin = largest.filter(|&at| matches!(sets[at], Some(SetRef::Large(large)) if large.len() > compact_max));
    let mut union = begin.and_then(|at| sets[at]).map_or_else(Set::empty, <Set as Collection>::to_owned);
    for (at, set) in sets.iter().enumerate() {
        if let (Some(set), false) = (set, begin == Some(at)) {
            set.members().for_each(|member| _ = union.add(member.bytes(&mut [0; DIGITS_MAX]), tools));
        }
    }
    union
}
