//! LINDEX: one element.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::list::List;

/// LINDEX.
pub static LINDEX: Spec = Spec {
    name: "lindex",
    summary: "Answers the element at an index of a list; negative indices count from the end.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of elements to traverse to get to the element at index. This makes asking for the first or the last element of the list O(1)",
    group: Group::List,
    arity: 3,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::LIST).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("index", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(lindex),
};

fn lindex(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        out.null();
        return Ok(());
    };
    let list = entry.collection::<List>()?;
    let index = parse_i64(args.slice(2)).ok_or(Fault::NotInteger)?;
    match list.index(index).and_then(|index| list.get(index)) {
        Some(item) => item.write(out),
        None => out.null(),
    }
    Ok(())
}
