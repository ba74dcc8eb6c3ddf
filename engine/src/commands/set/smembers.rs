//! SMEMBERS: all members.

use swell_wire::{Args, Out};

use super::answer;
use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Exec, Reply};
use crate::slices;
use crate::spec::*;
use crate::value::set::Set;

/// SMEMBERS.
pub static SMEMBERS: Spec = Spec {
    name: "smembers",
    summary: "Answers all members of a set.",
    since: "1.0.0",
    complexity: "O(N) where N is the set cardinality",
    group: Group::Set,
    arity: 2,
    flags: Flags::READONLY,
    acl: Acl::READ.and(Acl::SET).and(Acl::SLOW),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &["nondeterministic_output_order"],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Element },
    long: Long::Never,
    body: Body::Keys(smembers),
};

fn smembers(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let Some(entry) = cx.read(cx.key(args, 0)) else {
        out.set(0);
        return Ok(());
    };
    let set = entry.collection::<Set>()?;
    let len = set.len();
    if slices::is_long(&entry, len) {
        out.set(len);
        let rest = slices::scan::<Set>(&entry, len, out, |set, cursor, most, out| {
            let (next, visited) = set.scan(cursor, most, |member| member.write(out));
            (visited, next)
        });
        cx.defer(rest);
    } else {
        answer(set, out);
    }
    cx.work(len.saturating_sub(1) as u64);
    Ok(())
}
