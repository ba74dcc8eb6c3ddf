//! STRLEN: how long a string is.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Exec, Reply};
use crate::spec::{Access, Acl, Body, Cost, Flags, Group, Long, Pricing, Spec, Spread, WorkUnit};

/// STRLEN.
pub static STRLEN: Spec = Spec {
    name: "strlen",
    summary: "Answers the length of a string in bytes.",
    since: "2.2.0",
    complexity: "O(1)",
    group: Group::String,
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::STRING).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(strlen),
};

fn strlen(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let len = match cx.read(cx.key(args, 0)) {
        Some(entry) => entry.string()?.len(),
        None => 0,
    };
    out.int(len as i64);
    Ok(())
}
