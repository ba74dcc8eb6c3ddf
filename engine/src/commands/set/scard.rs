//! SCARD: the number of members.

use swell_wire::{Args, Out};

use super::read;
use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// SCARD.
pub static SCARD: Spec = Spec {
    name: "scard",
    summary: "Answers how many members a set has.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Set,
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::SET).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(scard),
};

fn scard(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let len = read(cx, args)?.map_or(0, |set| set.len());
    out.int(len as i64);
    Ok(())
}
