//! ZCARD: how many members.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::zset::ZSet;

/// ZCARD.
pub static ZCARD: Spec = Spec {
    name: "zcard",
    summary: "Answers how many members a sorted set has.",
    since: "1.2.0",
    complexity: "O(1)",
    group: Group::SortedSet,
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::SORTED_SET).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(zcard),
};

fn zcard(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let count = match cx.read(cx.key(args, 0)) {
        Some(entry) => entry.collection::<ZSet>()?.len(),
        None => 0,
    };
    out.int(count as i64);
    Ok(())
}
