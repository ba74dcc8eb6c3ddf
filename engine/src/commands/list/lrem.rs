//! LREM: elements that equal another, taken away.

use swell_wire::{Args, Out};

use crate::bulk;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::error::Fault;
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::number::parse_i64;
use crate::spec::*;
use crate::value::item::Wanted;
use crate::value::list::List;

/// LREM.
pub static LREM: Spec = Spec {
    name: "lrem",
    summary: "Takes elements that equal the one that is given out of a list: the first few, the last few, or all.",
    since: "1.0.0",
    complexity: "O(N+M) where N is the length of the list and M is the number of elements removed",
    group: Group::List,
    arity: 4,
    flags: Flags::WRITE,
    acl: Acl::WRITE.and(Acl::LIST).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["RW", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("count", ArgKind::Integer), plain_arg("element", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::bulk(lrem, bulk::of_scan),
};

fn lrem(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let count = parse_i64(args.slice(2)).ok_or(Fault::NotInteger)?;
    if count == i64::MIN {
        return Err(Fault::say(COUNT_RANGE));
    }
    let most = if count == 0 { usize::MAX } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) };
    let wanted = Wanted::from(args.get(3));
    let key = cx.key(args, 0);
    let done = cx.edit::<List, _>(key, Missing::Skip, |list, tools| {
        let len = list.view().len();
        let gone = list.remove_equal(&wanted, most, count < 0);
        if gone == 0 {
            return Ok(((0, len), Change::None));
        }
        list.shrink(&tools.limits);
        Ok(((gone, len), Change::Verbatim))
    })?;
    let (gone, visited) = done.unwrap_or((0, 0));
    cx.work(visited as u64);
    if gone > 0 {
        cx.notify_taken(Class::LIST, "lrem", key);
    }
    out.int(gone as i64);
    Ok(())
}

const COUNT_RANGE: &str = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
