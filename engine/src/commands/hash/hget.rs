//! HGET: the value of a field.

use swell_wire::{Args, Out};

use super::read;
use crate::commands::grammar::{KEY, one_key, plain_arg};
use crate::exec::{Exec, Reply};
use crate::spec::*;

/// HGET.
pub static HGET: Spec = Spec {
    name: "hget",
    summary: "Answers the value of a field of a hash.",
    since: "2.0.0",
    complexity: "O(1)",
    group: Group::Hash,
    arity: 3,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::HASH).and(Acl::FAST),
    keys: &[one_key(Access::Read, &["RO", "access"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[KEY, plain_arg("field", ArgKind::String)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(hget),
};

fn hget(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let (engine, now_ms) = (cx.engine, cx.now_ms());
    let Some(hash) = read(cx, args)? else {
        out.null();
        return Ok(());
    };
    match hash.get(args.slice(2), engine.hasher(), now_ms) {
        Some(value) => value.write(out),
        None => out.null(),
    }
    Ok(())
}
