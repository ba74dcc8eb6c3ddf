//! LRANGE: elements from index to index.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::error::Fault;
use crate::exec::{Exec, Reply};
use crate::number::parse_i64;
use crate::slices;
use crate::spec::*;
use crate::value::list::List;

/// LRANGE.
pub static LRANGE: Spec = Spec {
    name: "lrange",
    summary: "Answers the elements between two indices of a list; negative ones count from the end.",
    since: "1.0.0",
    complexity: "O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest end (HEAD or TAIL) for large lists; and N is the number of elements in the specified range",
    group: Group::List,
    arity: 4,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::LIST).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("start", ArgKind::Integer), plain_arg("stop", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(lrange),
};

fn lrange(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let start = parse_i64(args.slice(2)).ok_or(Fault::NotInteger)?;
    let stop = parse_i64(args.slice(3)).ok_or(Fault::NotInteger)?;
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        out.array(0);
        return Ok(());
    };
    let range = entry.collection::<List>()?.range(start, stop);
    let count = range.len();
    out.array(count);
    let rest = slices::range::<List>(&entry, range, out, |list, part, room, out| {
        room.fill(list.items(part.start, false).take(part.len()), out, |item, out| item.write(out))
    });
    cx.defer(rest);
    cx.work(count.saturating_sub(1) as u64);
    Ok(())
}
