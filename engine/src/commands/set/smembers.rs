//! SMEMBERS: all members.

use swell_wire::{Args, Out};

use super::{answer, read};
use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Exec, Reply};
use crate::spec::*;

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
    let Some(set) = read(cx, args)? else {
        out.set(0);
        return Ok(());
    };
    answer(set, out);
    let len = set.len();
    cx.work(len.saturating_sub(1) as u64);
    Ok(())
}
