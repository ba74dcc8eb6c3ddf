//! DEL, UNLINK.

use swell_wire::{Args, Out};

use crate::commands::grammar::{key_arg, keys_at};
use crate::exec::{Exec, Reply};
use crate::key::Key;
use crate::notify::Class;
use crate::spec::*;

pub static DEL: Spec = Spec {
    name: "del",
    summary: "Removes keys and says how many there were.",
    since: "1.0.0",
    complexity: "O(N) in the number of keys and of the elements of their values",
    group: Group::Generic,
    arity: -2,
    flags: Flags::WRITE,
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::SLOW),
    keys: &[keys_at(1, -1, Access::Delete, &["RM", "delete"])],
    spread: Spread::Split(Merge::Sum),
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    arguments: &[ArgDoc { multiple: true, ..key_arg("key", 0) }],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(del),
};

pub static UNLINK: Spec = Spec {
    name: "unlink",
    summary: "Removes keys, freeing what is large outside the locks.",
    since: "4.0.0",
    complexity: "O(1) for each key; the memory is given back later, O(N) in the elements of the values",
    group: Group::Generic,
    arity: -2,
    flags: Flags::WRITE.and(Flags::FAST),
    acl: Acl::KEYSPACE.and(Acl::WRITE).and(Acl::FAST),
    keys: &[keys_at(1, -1, Access::Delete, &["RM", "delete"])],
    spread: Spread::Split(Merge::Sum),
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    arguments: &[ArgDoc { multiple: true, ..key_arg("key", 0) }],
    cost: Cost { elasticache: Pricing::Fixed, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(unlink),
};

fn del(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    remove_all(cx, args, out, |cx, key| cx.remove(key))
}

fn unlink(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    remove_all(cx, args, out, |cx, key| cx.remove_lazily(key))
}

fn remove_all(
    cx: &mut Exec<'_>,
    args: Args<'_>,
    out: &mut Out,
    remove: impl Fn(&mut Exec<'_>, Key<'_>) -> bool,
) -> Reply {
    let keys = cx.keys_len();
    let mut removed = 0;
    for n in 0..keys {
        let key = cx.key(args, n);
        if remove(cx, key) {
            removed += 1;
            cx.notify(Class::GENERIC, "del", key);
        }
    }
    cx.work(keys as u64 - 1);
    out.int(removed);
    Ok(())
}
