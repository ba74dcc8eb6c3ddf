//! SINTER, SINTERSTORE and SINTERCARD: the members that all sets have in common.

use swell_wire::{Args, Out};

use super::{KEYS, SOURCES, read_all, store, write_all};
use crate::bulk;
use crate::commands::grammar::{key_arg, keys_at, one_key, plain_arg};
use crate::commands::options::is_word;
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::key::Hasher;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::Collection;
use crate::value::element::Element;
use crate::value::set::{Lookup, Set, SetRef};

/// SINTER.
pub static SINTER: Spec = Spec {
    name: "sinter",
    summary: "Answers the members that all sets have in common.",
    since: "1.0.0",
    complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets",
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
    body: Body::bulk(sinter, bulk::of_smallest::<0>),
};

/// SINTERCARD.
pub static SINTERCARD: Spec = Spec {
    name: "sintercard",
    summary: "Answers how many members all sets have in common, counting up to a limit if one is given.",
    since: "7.0.0",
    complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets",
    group: Group::Set,
    arity: -3,
    flags: Flags::READONLY.and(Flags::MOVABLEKEYS),
    acl: Acl::READ.and(Acl::SET).and(Acl::SLOW),
    keys: &[KeySpec {
        notes: "",
        access: Access::Read,
        flags: &["RO", "access"],
        begin: Begin::Index(1),
        find: Find::Count { number: 0, first: 1, step: 1 },
    }],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[
        plain_arg("numkeys", ArgKind::Integer),
        KEYS,
        ArgDoc { token: "LIMIT", optional: true, ..plain_arg("limit", ArgKind::Integer) },
    ],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(sintercard, bulk::of_smallest::<0>),
};

/// SINTERSTORE.
pub static SINTERSTORE: Spec = Spec {
    name: "sinterstore",
    summary: "Stores the members that all sets have in common.",
    since: "1.0.0",
    complexity: "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets",
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
    body: Body::bulk(sinterstore, bulk::of_smallest::<1>),
};

fn sinter(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let engine = cx.engine;
    let sets = read_all(cx, args, 0)?;
    let mut common = Vec::new();
    let looks = intersect(&sets, engine.hasher(), usize::MAX, |member| common.push(member));
    write_all(&common, out);
    cx.work(looks.saturating_sub(1) as u64);
    Ok(())
}

fn sinterstore(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let tools = cx.tools();
    let sets = read_all(cx, args, 1)?;
    let mut common = Set::empty();
    let looks = intersect(&sets, &tools.hasher, usize::MAX, |member| common.add_new(member, &tools));
    cx.work(looks.saturating_sub(1) as u64);
    store(cx, args, "sinterstore", common, out);
    Ok(())
}

fn sintercard(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let limit = limit(args)?;
    let engine = cx.engine;
    let sets = read_all(cx, args, 0)?;
    let mut count = 0;
    let looks = intersect(&sets, engine.hasher(), limit, |_| count += 1);
    out.int(count);
    cx.work(looks.saturating_sub(1) as u64);
    Ok(())
}

/// Goes over the smallest set and looks for its members in the others, the next smallest first, until `limit` are
/// found. Returns the work: members looked at in each of the other sets.
fn intersect<'a>(
    sets: &[Option<SetRef<'a>>],
    hasher: &Hasher,
    limit: usize,
    mut each: impl FnMut(Element<'a>),
) -> usize {
    let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<SetRef<'a>>>>() else { return 0 };
    sets.sort_by_key(SetRef::len);
    let Some((smallest, others)) = sets.split_first() else { return 0 };
    let lookups = smallest.len().min(limit);
    let others: Vec<Lookup<'_>> = others.iter().map(|other| other.for_lookups(lookups, hasher)).collect();
    let (mut visited, mut found) = (0, 0);
    for member in smallest.members() {
        visited += 1;
        if others.iter().all(|other| other.has(member, hasher)) {
            each(member);
            found += 1;
            if found >= limit {
                break;
            }
        }
    }
    visited * others.len().max(1)
}

/// What stands around the keys: their number in front, LIMIT behind. Without a limit, or with 0, all are counted.
fn limit(args: Args<'_>) -> Result<usize, Fault> {
    const NO_KEYS: Fault = Fault::say("ERR numkeys should be greater than 0");
    const TOO_MANY: Fault = Fault::say("ERR Number of keys can't be greater than number of args");
    const NEGATIVE: Fault = Fault::say("ERR LIMIT can't be negative");
    let keys = parse_i64(args.slice(1)).filter(|keys| *keys > 0).ok_or(NO_KEYS)?;
    let keys = usize::try_from(keys).ok().filter(|keys| *keys <= args.len() - 2).ok_or(TOO_MANY)?;
    let options = args.from(2 + keys);
    let mut limit = 0;
    for at in (0..options.len()).step_by(2) {
        let value = options.opt(at + 1).filter(|_| is_word(options.slice(at), "LIMIT")).ok_or(Fault::Syntax)?;
        limit = parse_i64(value).and_then(|limit| usize::try_from(limit).ok()).ok_or(NEGATIVE)?;
    }
    Ok(if limit == 0 { usize::MAX } else { limit })
}
