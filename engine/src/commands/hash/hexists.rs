//! HEXISTS: whether a field is there.

use swell_wire::{Args, Out};

use super::read;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// HEXISTS.
pub static HEXISTS: Spec = Spec {
    name: "hexists",
    summary: "Says whether a hash has a field.",
    since: "2.0.0",
    complexity: "O(1)",
    group: Group::Hash,
    arity: 3,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("field", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(hexists),
};

fn hexists(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (engine, now_ms) = (cx.engine, cx.now_ms());
    let there = read(cx, args)?.is_some_and(|hash| hash.contains(args.slice(2), engine.hasher(), now_ms));
    out.int(i64::from(there));
    Ok(())
}
