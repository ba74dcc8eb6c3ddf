//! HSTRLEN: the length of a field's value.

use swell_wire::{Args, Out};

use super::read;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// HSTRLEN.
pub static HSTRLEN: Spec = Spec {
    name: "hstrlen",
    summary: "Answers the length of a field's value in bytes.",
    since: "3.2.0",
    complexity: "O(1)",
    group: Group::Hash,
    arity: 3,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("field", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(hstrlen),
};

fn hstrlen(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (engine, now_ms) = (cx.engine, cx.now_ms());
    let value = read(cx, args)?.and_then(|hash| hash.get(args.slice(2), engine.hasher(), now_ms));
    out.int(value.map_or(0, |value| value.len()) as i64);
    Ok(())
}
