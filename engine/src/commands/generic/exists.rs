//! EXISTS.

use swell_wire::{Args, Out};

use super::inspect;
use crate::commands::grammar::{key_arg, keys_at};
use crate::exec::{Exec, Reply};
use crate::spec::*;

pub static EXISTS: Spec = Spec {
    name: "exists",
    summary: "Counts how many of the given keys there are.",
    since: "1.0.0",
    complexity: "O(N) in the number of keys",
    group: Group::Generic,
    arity: -2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::FAST),
    keys: &[keys_at(1, -1, Access::Read, &["RO"])],
    spread: Spread::Split(Merge::Sum),
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    arguments: &[ArgDoc { multiple: true, ..key_arg("key", 0) }],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(exists),
};

/// A key named twice counts twice.
fn exists(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let keys = cx.keys_len();
    let mut found = 0;
    for n in 0..keys {
        let key = cx.key(args, n);
        found += i64::from(inspect(cx, key, |_| ()).is_some());
    }
    cx.work(keys as u64 - 1);
    out.int(found);
    Ok(())
}
