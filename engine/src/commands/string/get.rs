//! GET: the string at a key.

use swell_wire::{Args, Out};

use super::bulk;
use crate::commands::grammar::{KEY, one_key};
use crate::exec::{Exec, Reply};
use crate::spec::{Access, Acl, Body, Cost, Flags, Group, Long, Pricing, Spec, Spread, WorkUnit};

/// GET.
pub static GET: Spec = Spec {
    name: "get",
    summary: "Answers the string at a key.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::String,
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::STRING).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(get),
};

#[inline]
fn get(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    match cx.read(cx.key(args, 0)) {
        Some(entry) => bulk(out, entry.string()?),
        None => out.null(),
    }
    Ok(())
}
