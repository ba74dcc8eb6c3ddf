//! ZREM: members out of a sorted set.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::spec::*;
use crate::value::zset::ZSet;

/// ZREM.
pub static ZREM: Spec = Spec {
    name: "zrem",
    summary: "Takes members out of a sorted set.",
    since: "1.2.0",
    complexity: "O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements to be removed.",
    group: Group::SortedSet,
    arity: -3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::SORTED_SET).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, ArgDoc { multiple: true, ..plain_arg("member", ArgKind::String) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(zrem),
};

fn zrem(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (key, members) = (cx.key(args, 0), args.from(2));
    let removed = cx.edit::<ZSet, _>(key, Missing::Skip, |zset, tools| {
        let removed = members.iter().filter(|member| zset.remove(member, &tools.hasher)).count();
        Ok((removed, if removed > 0 { Change::Verbatim } else { Change::None }))
    })?;
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        cx.notify_taken(Class::SORTED_SET, "zrem", key);
    }
    out.int(removed as i64);
    cx.work(members.len() as u64 - 1);
    Ok(())
}
