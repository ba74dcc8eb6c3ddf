//! PFMERGE: several become one.

use swell_wire::{Args, Out};

use super::registers::{Hll, REGISTERS, View};
use crate::commands::grammar::{key_arg, keys_at, one_key};
use crate::entry::NewValue;
use crate::exec::{Exec, McField, Reply, Ttl};
use crate::notify::Class;
use crate::spec::*;

/// PFMERGE.
pub static PFMERGE: Spec = Spec {
    name: "pfmerge",
    summary: "Merges HyperLogLogs into one.",
    since: "2.8.9",
    complexity: "O(N) for N keys, with a large constant",
    group: Group::HyperLogLog,
    arity: -2,
    flags: Flags::WRITE.and(Flags::DENYOOM),
    acl: Acl::WRITE.and(Acl::HYPERLOGLOG).and(Acl::SLOW),
    keys: &[one_key(Access::Write, &["RW", "access", "insert"]), keys_at(2, -1, Access::Read, &["RO", "access"])],
    spread: Spread::Gather,
    tips: &[],
    arguments: &[key_arg("destkey", 0), ArgDoc { optional: true, multiple: true, ..key_arg("sourcekey", 1) }],
    cost: Cost { elasticache: Pricing::Variable, work: WorkUnit::Key },
    long: Long::Never,
    body: Body::Keys(pfmerge),
};

/// The destination is one of the sources. Where any is dense, it becomes dense.
fn pfmerge(cx: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Reply {
    let mut registers = Box::new([0; REGISTERS]);
    let (mut merged, mut dense) = (Hll::new(), false);
    for index in 0..cx.keys_len() {
        let Some(entry) = cx.read(cx.key(args, index)) else { continue };
        let bytes = entry.string()?.to_bytes();
        let view = View::new(&bytes)?;
        dense |= view.is_dense();
        view.raise(&mut registers)?;
        if index == 0 {
            merged = Hll::from_view(view);
        }
    }
    cx.work(cx.keys_len() as u64 - 1);
    if dense {
        merged.make_dense()?;
        merged.overwrite_dense(&registers);
    } else {
        let sparse_bytes = cx.tools().limits.hll_sparse_bytes;
        for (index, value) in registers.iter().enumerate().filter(|(_, value)| **value > 0) {
            merged.raise((index, *value), sparse_bytes)?;
        }
    }
    merged.forget_count();
    let key = cx.key(args, 0);
    cx.put_raw(key, NewValue::Bytes(&merged.into_bytes()), Ttl::Keep, McField::Keep);
    cx.notify(Class::STRING, "pfadd", key);
    out.ok();
    Ok(())
}
