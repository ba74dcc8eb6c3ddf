//! LLEN: how many elements.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Exec, Reply};
use crate::spec::*;
use crate::value::list::List;

/// LLEN.
pub static LLEN: Spec = Spec {
    name: "llen",
    summary: "Answers the number of elements of a list; 0 for a missing key.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::List,
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::LIST).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(llen),
};

fn llen(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let list = cx.read(cx.key(args, 0)).map(|entry| entry.collection::<List>()).transpose()?;
    out.int(list.map_or(0, |list| list.len()) as i64);
    Ok(())
}
