//! SUNION and SUNIONSTORE: the members of all sets together.

use swell_wire::{Args, Out};

use super::{KEYS, SOURCES, read_all, store, total};
use crate::bulk;
use crate::commands::grammar::{key_arg, keys_at, one_key};
use crate::exec::{Exec, Reply, Tools};
use crate::key::Hasher;
use crate::spec::*;
use crate::value::Collection;
use crate::value::element::Element;
use crate::value::index::Index;
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
    let engine = cx.engine;
    let sets = read_all(cx, args, 0)?;
    let visited = total(&sets);
    let Some(union) = Union::of(&sets, engine.hasher()) else {
        out.set(0);
        return Ok(());
    };
    out.set(union.largest.len() + union.rest.len());
    union.largest.members().chain(union.rest).for_each(|member| member.write(out));
    cx.work(visited.saturating_sub(1) as u64);
    Ok(())
}

fn sunionstore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let tools = cx.tools();
    let sets = read_all(cx, args, 1)?;
    let visited = total(&sets);
    let union = Union::of(&sets, &tools.hasher).map_or_else(Set::empty, |union| union.stored(&tools));
    cx.work(visited.saturating_sub(1) as u64);
    store(cx, args, "sunionstore", union, out);
    Ok(())
}

/// The members of several sets, each once.
struct Union<'a> {
    largest: SetRef<'a>,
    /// Those that are not in the largest.
    rest: Vec<Element<'a>>,
}

impl<'a> Union<'a> {
    /// Nothing, if there are no sets.
    fn of(sets: &[Option<SetRef<'a>>], hasher: &Hasher) -> Option<Union<'a>> {
        let largest_at = (0..sets.len()).max_by_key(|&at| sets[at].map_or(0, |set| set.len()))?;
        let largest = sets[largest_at]?;
        let others = || sets.iter().enumerate().filter(|(at, _)| *at != largest_at).filter_map(|(_, set)| *set);
        let lookups = others().map(|set| set.len()).sum();
        let known = largest.for_lookups(lookups, hasher);
        let (mut rest, mut seen) = (Vec::new(), Index::with_capacity(0, hasher));
        let is_alone = others().nth(1).is_none();
        for member in others().flat_map(|set| set.members()) {
            if !known.has(member, hasher) && (is_alone || seen.insert(member, ())) {
                rest.push(member);
            }
        }
        Some(Union { largest, rest })
    }

    /// Begins with the largest set where the union will be large in any case: a copy shares its pages. Else with an
    /// empty one, whose form then follows from what is added.
    fn stored(self, tools: &Tools) -> Set {
        let compact_max = tools.limits.set_ints.max(tools.limits.set_entries);
        let is_large = matches!(self.largest, SetRef::Large(large) if large.len() > compact_max);
        let mut union = if is_large { <Set as Collection>::to_owned(self.largest) } else { Set::empty() };
        let begin = if is_large { None } else { Some(self.largest.members()) };
        begin.into_iter().flatten().chain(self.rest).for_each(|member| union.add_new(member, tools));
        union
    }
}
