//! SREM: removing members.

use swell_wire::{Args, Out};

use super::NAMES;
use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::spec::*;
use crate::value::set::Set;

/// SREM.
pub static SREM: Spec = Spec {
    name: "srem",
    summary: "Removes members from a set.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of members to be removed",
    group: Group::Set,
    arity: -3,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::SET).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "delete"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, NAMES],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(srem),
};

fn srem(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (key, members) = (cx.key(args, 0), args.from(2));
    let removed = cx.edit::<Set, _>(key, Missing::Skip, |set, tools| {
        let removed = members.iter().filter(|member| set.remove(member, tools)).count();
        Ok((removed, if removed == 0 { Change::None } else { Change::Verbatim }))
    })?;
    cx.work(members.len() as u64 - 1);
    let removed = removed.unwrap_or(0);
    if removed > 0 {
        cx.notify_taken(Class::SET, "srem", key);
    }
    out.int(removed as i64);
    Ok(())
}
