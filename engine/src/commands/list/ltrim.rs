//! LTRIM: nothing but the elements from index to index.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::error::Fault;
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::list::List;

/// LTRIM.
pub static LTRIM: Spec = Spec {
    name: "ltrim",
    summary: "Takes away what is not between two indices of a list; negative ones count from the end.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of elements to be removed by the operation",
    group: Group::List,
    arity: 4,
    flags: Flags::WRITE,
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["RW", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("start", ArgKind::Integer), plain_arg("stop", ArgKind::Integer)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(ltrim),
};

fn ltrim(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let start = parse_i64(args.slice(2)).ok_or(Fault::NotInteger)?;
    let stop = parse_i64(args.slice(3)).ok_or(Fault::NotInteger)?;
    let key = cx.key(args, 0);
    let Some(entry) = cx.write_lookup(key) else {
        out.ok();
        return Ok(());
    };
    let list = entry.collection::<List>()?;
    let (len, range) = (list.len(), list.range(start, stop));
    let gone = len - range.len();
    if range.is_empty() {
        // Deleted, so that a long list is freed in slices.
        cx.remove(key);
    } else {
        cx.edit::<List, _>(key, Missing::Skip, |list, tools| {
            list.remove(range.end, len - range.end);
            list.remove(0, range.start);
            // Where nothing is to be removed a list may still be smaller than it looks.
            list.shrink(&tools.limits);
            Ok(((), if gone > 0 { Change::Verbatim } else { Change::None }))
        })?;
    }
    cx.notify_taken(Class::LIST, "ltrim", key);
    cx.work(gone.saturating_sub(1) as u64);
    out.ok();
    Ok(())
}
