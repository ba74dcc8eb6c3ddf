//! SADD: adding members.

use swell_wire::{Args, Out};

use super::NAMES;
use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Change, Exec, Missing, Reply};
use crate::notify::Class;
use crate::spec::*;
use crate::value::set::Set;

/// SADD.
pub static SADD: Spec = Spec {
    name: "sadd",
    summary: "Adds members to a set.",
    since: "1.0.0",
    complexity: "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments",
    group: Group::Set,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
    acl: Acl::WRITE.and(Acl::SET).and(Acl::FAST),
    keys: &[one_key(Access::Write, &["RW", "insert"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, NAMES],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(sadd),
};

fn sadd(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (key, members) = (cx.key(args, 0), args.from(2));
    let added = cx.edit::<Set, _>(key, Missing::Create, |set, tools| {
        set.make_room(members.slice(0), members.len(), tools);
        let added = members.iter().filter(|member| set.add(member, tools)).count();
        Ok((added, if added == 0 { Change::None } else { Change::Verbatim }))
    })?;
    cx.work(members.len() as u64 - 1);
    let added = added.unwrap_or(0);
    if added > 0 {
        cx.notify(Class::SET, "sadd", key);
    }
    out.int(added as i64);
    Ok(())
}
