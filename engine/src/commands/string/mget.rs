//! MGET: the strings at several keys.

use swell_wire::{Args, Out};

use super::bulk;
use crate::commands::grammar::{KEY, keys_every};
use crate::exec::{Exec, Reply};
use crate::spec::{Access, Acl, ArgDoc, Body, Cost, Flags, Group, Long, Merge, Pricing, Spec, Spread, WorkUnit};

/// MGET.
pub static MGET: Spec = Spec {
    name: "mget",
    summary: "Answers the strings at several keys, in their order.",
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys",
    group: Group::String,
    arity: -2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::READ.and(Acl::STRING).and(Acl::FAST),
    keys: &[keys_every(1, Access::Read, &["RO", "access"])],
    spread: Spread::Split(Merge::InOrder),
    tips: &["request_policy:multi_shard"],
    arguments: &[ArgDoc { multiple: true, ..KEY }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(mget),
};

/// Null for every key that is missing or holds no string.
fn mget(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let count = cx.keys_len();
    out.array(count);
    for n in 0..count {
        match cx.read(cx.key(args, n)).map(|entry| entry.string()) {
            Some(Ok(value)) => bulk(out, value),
            _ => out.null(),
        }
    }
    cx.work(count as u64 - 1);
    Ok(())
}
