//! MSET and MSETNX: strings at several keys.

use swell_wire::{Args, Out};

use crate::commands::grammar::{KEYS_AND_VALUES, keys_every};
use crate::error::Fault;
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::notify::Class;
use crate::spec::{Access, Acl, Body, Cost, Flags, Group, Long, Pricing, Spec, Spread, WorkUnit};

/// MSET.
pub static MSET: Spec = Spec {
    name: "mset",
    summary: "Stores strings at several keys, all at one moment.",
    since: "1.0.1",
    complexity: "O(N) where N is the number of keys",
    group: Group::String,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::SLOW),
    keys: &[keys_every(2, Access::Write, &["OW", "update"])],
    spread: Spread::Gather,
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    arguments: &[KEYS_AND_VALUES],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Key },
    long: Long::EverySecond(2),
    body: Body::Keys(mset),
};

/// MSETNX.
pub static MSETNX: Spec = Spec {
    name: "msetnx",
    summary: "Stores strings at several keys, unless any of the keys is there already.",
    since: "1.0.1",
    complexity: "O(N) where N is the number of keys",
    group: Group::String,
    arity: -3,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::STRING).and(Acl::SLOW),
    keys: &[keys_every(2, Access::Write, &["OW", "insert"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[KEYS_AND_VALUES],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Key },
    long: Long::EverySecond(2),
    body: Body::Keys(msetnx),
};

fn mset(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    check_pairs(args, "mset")?;
    put_all(cx, args);
    out.ok();
    Ok(())
}

fn msetnx(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    check_pairs(args, "msetnx")?;
    let taken = (0..cx.keys_len()).any(|n| cx.write_lookup(cx.key(args, n)).is_some());
    if taken {
        cx.work(cx.keys_len() as u64 - 1);
    } else {
        put_all(cx, args);
    }
    out.int(i64::from(!taken));
    Ok(())
}

fn check_pairs(args: Args<'_>, command: &'static str) -> Result<(), Fault> {
    if args.len().is_multiple_of(2) { Err(Fault::WrongArity(command)) } else { Ok(()) }
}

/// Stores every value at its key; a key named twice keeps its last value.
fn put_all(cx: &mut Exec<'_>, args: Args<'_>) {
    let count = cx.keys_len();
    for n in 0..count {
        let key = cx.key(args, n);
        cx.put(key, args.get(2 * n + 2).into(), Ttl::Clear, McField::Clear);
        cx.notify(Class::STRING, "set", key);
    }
    cx.work(count as u64 - 1);
}
