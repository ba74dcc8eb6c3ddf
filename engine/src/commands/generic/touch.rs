//! TOUCH.

use swell_wire::{Args, Out};

use crate::commands::grammar::{key_arg, keys_at};
use crate::exec::{Exec, Reply};
use crate::spec::*;

pub static TOUCH: Spec = Spec {
    name: "touch",
    summary: "Marks keys as used just now and says how many there were.",
    since: "3.2.1",
    complexity: "O(N) in the number of keys",
    group: Group::Generic,
    arity: -2,
    flags: Flags::READONLY.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::READ).and(Acl::FAST),
    keys: &[keys_at(1, -1, Access::Read, &["RO"])],
    spread: Spread::Split(Merge::Sum),
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    arguments: &[ArgDoc { multiple: true, ..key_arg("key", 0) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(touch),
};

/// A key named twice counts twice.
fn touch(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let keys = cx.keys_len();
    let mut touched = 0;
    for n in 0..keys {
        touched += i64::from(cx.read(cx.key(args, n)).is_some());
    }
    cx.work(keys as u64 - 1);
    out.int(touched);
    Ok(())
}
