//! LSET: another element at an index.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::error::Fault;
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::item::Item;
use crate::value::list::List;

/// LSET.
pub static LSET: Spec = Spec {
    name: "lset",
    summary: "Puts an element in the place of the one at an index of a list.",
    since: "1.0.0",
    complexity: "O(N) where N is the length of the list. Setting either the first or the last element of the list is O(1)",
    group: Group::List,
    arity: 4,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["RW", "update"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("index", ArgKind::Integer), plain_arg("element", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::At(3),
    body: Body::Keys(lset),
};

fn lset(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let item = Item::from(args.get(3));
    let key = cx.key(args, 0);
    let done = cx.edit::<List, _>(key, Missing::Skip, |list, tools| {
        let index = parse_i64(args.slice(2)).ok_or(Fault::NotInteger)?;
        list.make_room(item.len(), 1, &tools.limits);
        let index = list.view().index(index).ok_or(Fault::IndexOutOfRange)?;
        list.set(index, item, &tools.limits);
        list.shrink(&tools.limits);
        Ok(((), Change::Verbatim))
    })?;
    done.ok_or(Fault::NoSuchKey)?;
    cx.notify(Class::LIST, "lset", key);
    out.ok();
    Ok(())
}
