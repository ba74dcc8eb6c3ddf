//! TYPE.

use swell_wire::{Args, Out};

use super::inspect;
use crate::commands::grammar::{key_arg, keys_at};
use crate::exec::{Exec, Reply};
use crate::spec::*;

pub static TYPE: Spec = Spec {
    name: "type",
    summary: "Names the type of the value at a key.",
    since: "1.0.0",
    complexity: "O(1)",
    group: Group::Generic,
    arity: 2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::FAST),
    keys: &[keys_at(1, 0, Access::Read, &["RO"])],
    spread: Spread::One,
    tips: &[],
    arguments: &[key_arg("key", 0)],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Call },
    long: Long::Never,
    body: Body::Keys(type_of),
};

fn type_of(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let key = cx.key(args, 0);
    let kind = inspect(cx, key, |entry| entry.kind());
    out.simple(kind.map_or("none", |kind| kind.name()));
    Ok(())
}
